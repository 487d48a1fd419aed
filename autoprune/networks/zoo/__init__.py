"""Zoo of networks, each built as in its paper: ``build(name)``."""

from autoprune.networks.zoo.registry import NETWORKS, ZooNetwork, build, find

__all__ = ["NETWORKS", "ZooNetwork", "build", "find"]
