"""Checkpoints of a training: a killed one continues from the last, to the same weights.

:func:`autoprune.training.loop.fit` defines the state; this module stores it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
from autoprune.training.pace import PaceConfig, current_pace

State = Mapping[str, Tensor]
"""Tensors by name. Those of ``fit`` start with ``fit.``; a caller may keep others beside them."""

SECONDS: Final = "seconds"

_NUMBER: Final = "saved"
"""Name under which a state holds how many were saved before it."""


class Checkpoint(Protocol):
    """Storage for the state of ``fit``.

    A caller with state of its own to keep in step with the weights (a curve, the best so far) wraps
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

    If the newest is damaged, the one before is used. ``pace`` says how often ``fit`` saves; by
    default that of :func:`autoprune.training.pace.current_pace`.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        name: str,
        pace: PaceConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._artifacts, self._pace, self._clock = artifacts, pace or current_pace(), clock
        self._files = [f"{name}-{turn}{STATE}" for turn in (0, 1)]
        self._number = 0
        self._began = self._last = clock()
        self._took, self._earlier = 0.0, 0.0

    @property
    def due(self) -> bool:
        """Whether ``save_every`` seconds have passed, or more where saving takes long."""
        waited = self._clock() - self._last
        return waited >= max(self._pace.save_every, self._took / self._pace.save_share)

    @property
    def seconds(self) -> float:
        """Time since this object was created, and the time behind the state it loaded."""
        return self._earlier + self._clock() - self._began

    def load(self) -> State | None:
        """Return the newest intact state, None if there is none."""
        states = {int(state[_NUMBER]): state for state in map(self._read, self._files) if state}
        if not states:
            return None
        self._number = max(states)
        state = dict(states[self._number])
        del state[_NUMBER]
        self._earlier = float(state.pop(SECONDS, torch.zeros(())))
        return state

    def save(self, state: State) -> None:
        """Publish ``state``; raises AutopruneError if it cannot be written."""
        began = self._clock()
        facts = {
            _NUMBER: torch.tensor(self._number + 1),
            SECONDS: torch.tensor(self.seconds, dtype=torch.float64),
        }
        name = self._files[self._number % 2]
        self._artifacts.publish(name, partial(write_tensors, tensors={**state, **facts}))
        self._number += 1
        self._last = self._clock()
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
    """Remove every checkpoint of a run that has its result, also those a crash left unlisted."""
    for path in sorted(artifacts.path.glob(f"*{STATE}")):
        artifacts.remove(path.name)


def identity(config: Mapping[str, object], samples: int, weights: State) -> Tensor:
    """Return the hash that identifies a training, uint8 [32].

    It covers the configuration, the number of samples, and the names and shapes of the weights.
    """
    shapes = [[name, list(value.shape)] for name, value in weights.items()]
    facts = digest(canonical([config, samples, shapes]))
    return torch.tensor(list(bytes.fromhex(facts)), dtype=torch.uint8)


def under(prefix: str, tensors: State) -> dict[str, Tensor]:
    """Put ``prefix`` before every name."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def below(prefix: str, tensors: State) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer, by number of the parameter and name of the value."""
    return {
        f"{number}.{kind}": value
        for number, parameter in enumerate(_parameters(optimizer))
        for kind, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, remembered: State) -> None:
    """Load what :func:`optimizer_state` returned, in the memory layout of the parameters.

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
