"""The environment of the agents; importing it registers ``autoprune/LayerPruning-v0``."""

from gymnasium.envs.registration import register

register(
    id="autoprune/LayerPruning-v0",
    entry_point="autoprune.envs.layer_pruning:LayerPruning",
)
