"""Run of a search: its masks, and the weights of its network before and after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from autoprune.errors import DamagedError, UsageError
from autoprune.foundation import trust
from autoprune.networks.save import state_tensors
from autoprune.networks.spec import ModelSpec
from autoprune.networks.weights import (
    BASE,
    INITIAL,
    initial_file,
    load_weights,
    read_masks,
    read_tensors,
)
from autoprune.pipeline.config import PruningConfig
from autoprune.pipeline.inputs import tensors_hash
from autoprune.problem.granularity.parse import Granularity
from autoprune.runs.artifacts import Artifacts

MASKS = "masks.safetensors"


_CHOSEN_BY: Final[Mapping[str, str]] = {"search": "agent", "prune": "heuristic"}
"""Commands whose masks can be trained again, and the option that names what chose the plan."""


@dataclass(frozen=True)
class SearchRun:
    """Finished search: specification and masks of its network, weights before and after training.

    ``chosen_by`` is the searcher or heuristic that chose the plan; ``granularity`` is that of the
    masks: channels, single weights, or a pattern such as 2:4.
    """

    config: PruningConfig
    chosen_by: str
    spec: ModelSpec
    masks: Mapping[str, Tensor]
    initial: Mapping[str, Tensor]
    base: Mapping[str, Tensor]
    granularity: Granularity


def read_search(path: Path, initial: str | None = None, *, trust_code: bool = False) -> SearchRun:
    """Read the run of a finished search.

    ``initial`` is a file with the weights before training, or the run of a training; it is needed
    for a search whose network was trained elsewhere. With ``trust_code`` the run may name functions
    that were never named on this machine.

    Raises UsageError if it is no search, or if there are no initial weights to rewind to;
    DamagedError if a file is not what was written, does not fit the network, or names code that is
    not trusted.
    """
    artifacts = Artifacts(path)
    if MASKS not in artifacts.names or "model.json" not in artifacts.names:
        raise UsageError(f"{path} holds no mask", "name the directory of a finished search")
    meta, network = artifacts.json("config.json"), artifacts.json("model.json")
    _check_shape(meta, network, path)
    option = _CHOSEN_BY.get(meta["command"])
    if option is None:
        raise UsageError(f"{path} holds a run of {meta.get('command')}, not of a search")
    if network.get("model") is None:
        raise UsageError(f"the network of {path} was given as a live object: it cannot be built")
    config = PruningConfig.part_of(meta["config"])
    chosen_by = str(meta["config"].get(option))
    spec = ModelSpec.from_json(network["model"])
    if not trust_code:
        spec.require_trust()
        for named in (config.data, config.task):
            trust.check_named(named)
    if BASE in artifacts.names:
        base = read_tensors(artifacts.file(BASE))
    else:
        base = _named_weights(spec, str(config.weights))
        _check_hash(base, meta, f"{config.weights} changed since the search in {path}")
    if initial is not None:
        before = _named_weights(spec, initial_file(initial) or initial)
    elif INITIAL in artifacts.names:
        before = read_tensors(artifacts.file(INITIAL))
    else:
        raise UsageError(
            f"{path} has no initial weights to rewind to: the search was given a trained network",
            "name them with --initial FILE, or train it with autoprune train, which stores them",
        )
    masks, grain = read_masks(artifacts.file(MASKS)), Granularity.parse(config.granularity)
    return SearchRun(config, chosen_by, spec, masks, before, base, grain)


def _check_shape(meta: Any, network: Any, path: Path) -> None:
    """Raise DamagedError unless the files of a run are objects of the kind that we write."""
    parts = {"command": str, "config": dict, "facts": dict}
    if (
        not isinstance(meta, dict)
        or not all(isinstance(meta.get(name), kind) for name, kind in parts.items())
        or not isinstance(network, dict)
    ):
        raise DamagedError(f"{path} does not hold what autoprune writes", "search again")


def _named_weights(spec: ModelSpec, path: str | Path) -> dict[str, Tensor]:
    """Read weights that the user named."""
    network = spec.build(trust_code=True)
    load_weights(network, path)
    return {name: value.clone() for name, value in state_tensors(network).items()}


def _check_hash(weights: Mapping[str, Tensor], meta: Mapping[str, Any], what: str) -> None:
    if tensors_hash(weights) != meta["facts"].get("weights"):
        raise UsageError(what, "search again, or bring the file back")
