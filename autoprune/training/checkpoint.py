"""The state of a training under way, kept so that one that was killed goes on to the same weights.

:func:`autoprune.training.loop.fit` says what the state is; here is where it goes, and how often.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from autoprune.foundation.files import canonical, digest
from autoprune.networks.save import write_tensors
from autoprune.runs.artifacts import STATE, Artifacts

State = Mapping[str, Tensor]
"""Tensors by name. Those of ``fit`` start with ``fit.``; a caller may keep others beside them."""

EVERY: Final = 20.0
"""Seconds between two savings: the most that a kill costs."""

SHARE: Final = 0.03
"""Part of the time that savings may take; large networks are saved less often."""

SECONDS: Final = "seconds"

_NUMBER: Final = "saved"
"""How many times a training had been saved, beside its state."""


class Checkpoint(Protocol):
    """Where ``fit`` keeps its state.

    Whoever has a state of its own to keep in step with the weights (a curve, the best so far) wraps
    another checkpoint, adds its tensors in ``save`` and takes them out in ``load``.
    """

    @property
    def due(self) -> bool:
        """Whether it is time to save; asked after every step."""

    def load(self) -> State | None:
        """Return what was saved last, None if nothing was or it is damaged."""

    def save(self, state: State) -> None:
        """Keep ``state`` in place of what was saved before, in one step."""


class FileCheckpoint:
    """A checkpoint in a run directory: ``NAME-0.checkpoint.safetensors`` and ``NAME-1...`` in turn.

    So the one before is there if the newest is damaged.
    """

    def __init__(self, artifacts: Artifacts, name: str, every: float = EVERY) -> None:
        self._artifacts, self._every = artifacts, every
        self._files = [f"{name}-{turn}{STATE}" for turn in (0, 1)]
        self._number = 0
        self._began = self._last = time.monotonic()
        self._took, self._earlier = 0.0, 0.0

    @property
    def due(self) -> bool:
        """Whether ``every`` seconds have passed, or more where saving takes long."""
        return time.monotonic() - self._last >= max(self._every, self._took / SHARE)

    @property
    def seconds(self) -> float:
        """Time since this object was made, and that which led to what it loaded."""
        return self._earlier + time.monotonic() - self._began

    def load(self) -> State | None:
        """Return the newest of what was saved that is intact, None if nothing is."""
        found = {int(state[_NUMBER]): state for state in map(self._read, self._files) if state}
        if not found:
            return None
        self._number = max(found)
        state = dict(found[self._number])
        del state[_NUMBER]
        self._earlier = float(state.pop(SECONDS, torch.zeros(())))
        return state

    def save(self, state: State) -> None:
        """Publish ``state``; raises AutopruneError if it cannot be written."""
        began = time.monotonic()
        facts = {
            _NUMBER: torch.tensor(self._number + 1),
            SECONDS: torch.tensor(self.seconds, dtype=torch.float64),
        }
        name = self._files[self._number % 2]
        self._artifacts.publish(name, partial(write_tensors, tensors={**state, **facts}))
        self._number += 1
        self._last = time.monotonic()
        self._took = self._last - began

    def _read(self, name: str) -> State | None:
        if not self._artifacts.intact(name):
            return None
        try:
            state = load_file(self._artifacts.file(name))
        except (OSError, SafetensorError):
            return None
        return state if _NUMBER in state else None


def discard(artifacts: Artifacts) -> None:
    """Remove every checkpoint of a run whose result is there, and what a crash left of one."""
    for path in sorted(artifacts.path.glob(f"*{STATE}")):
        artifacts.remove(path.name)


def key(config: Mapping[str, object], samples: int, weights: State) -> Tensor:
    """Tell one training from another, uint8 [32]: configuration, number of samples, shapes."""
    shapes = [[name, list(value.shape)] for name, value in weights.items()]
    facts = digest(canonical([config, samples, shapes]))
    return torch.tensor(list(bytes.fromhex(facts)), dtype=torch.uint8)


def under(prefix: str, tensors: State) -> dict[str, Tensor]:
    """Put ``prefix`` before every name."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def below(prefix: str, tensors: State) -> dict[str, Tensor]:
    """Return what stands under ``prefix``, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}


def memory(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer remembers, by number of the parameter and its own name."""
    return {
        f"{number}.{kind}": value
        for number, parameter in enumerate(_parameters(optimizer))
        for kind, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def remind(optimizer: Optimizer, remembered: State) -> None:
    """Give an optimizer what :func:`memory` returned, laid out as its parameters are.

    In another layout the same sums would run in another order.
    """
    parameters = _parameters(optimizer)
    for name, value in remembered.items():
        number, _, kind = name.partition(".")
        parameter = parameters[int(number)]
        like = parameter.detach() if value.shape == parameter.shape else value
        placed = torch.empty_like(like, dtype=value.dtype, device=parameter.device)
        optimizer.state[parameter][kind] = placed.copy_(value)


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [value for group in optimizer.param_groups for value in group["params"]]
