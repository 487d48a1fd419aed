"""All the networks, by name."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

from tests.real.network import Network

LIBRARIES = {
    "torchvision": ("vision",),
    "timm": ("timm_nets",),
    "transformers": ("texts", "sights"),
    "segmentation_models_pytorch": ("segmentation",),
    "diffusers": ("diffusion",),
    "ultralytics": ("yolo",),
}
"""Library -> modules here that list networks of it."""


def missing(library: str) -> bool:
    """Whether a library is not installed."""
    return find_spec(library) is None


@cache
def networks(library: str) -> dict[str, Network]:
    """Return the networks of a library by name."""
    found = {}
    for module in LIBRARIES[library]:
        for network in import_module(f"tests.real.{module}").NETWORKS:
            found[network.name] = network
    return found
