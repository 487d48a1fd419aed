"""The environment of the agents; importing it registers ``autoprune/LayerPruning-v0``.

``gymnasium.make("autoprune.envs:autoprune/LayerPruning-v0")`` imports it by itself.
"""

from gymnasium.envs.registration import register

# By name, as registries do: the maker poses a default problem, which takes the rooms below.
register(
    id="autoprune/LayerPruning-v0",
    entry_point="autoprune.pipeline.environment:layer_pruning",
)
