"""Proof of groups on a model: the sliced network against the masked one, and reordered units."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from autoprune.structure.copies import disturb, plain_copy, set_mode
from autoprune.structure.graph import ExampleInputs, call, slow_attention, user_line
from autoprune.structure.index_patterns import permutation
from autoprune.structure.kept_norms import KeptUnits
from autoprune.structure.kept_sizes import TRIALS, Choices, Kind, adopt
from autoprune.structure.outputs import counted
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Structure

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Largest error relative to the largest output that still counts as equal."""

SHOWN = 4
"""Ints of modules that a reason names."""


class Bench:
    """A disturbed double-precision copy of the model, and its output."""

    def __init__(self, model: nn.Module, structure: Structure, inputs: ExampleInputs) -> None:
        self.structure = structure
        self._model, self._inputs = _double(model, inputs)
        self._slicer = Slicer(self._model, structure)
        self._choices = Choices(self._model, structure)
        self._dense = self._run(self._model)
        self._scale = max((float(leaf.abs().max()) for leaf in self._dense), default=1.0) or 1.0
        self._trains = self._runs_in_training()
        self._tolerance = TOLERANCE[self._dense[0].dtype if self._dense else torch.float64]

    def _run(self, model: nn.Module) -> list[Tensor]:
        outputs = counted(self._call(model), self.structure.outputs)
        return [leaf for leaf in outputs if leaf.is_floating_point()]

    def _call(self, model: nn.Module) -> Any:
        with torch.random.fork_rng(devices=[]), slow_attention():
            torch.manual_seed(0)
            return call(model, self._inputs)

    def ints(self, group: str) -> str:
        """Name some ints of modules that may hold the size of a group."""
        own = [place for alike in self._choices.options(group).values() for place in alike]
        names = [f"{path}.{name}".strip(".") for path, name in own]
        return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")

    def sets_ints(self, passed: list[str], group: str) -> bool:
        """Let ints of modules follow the plan, as far as a failing proof asks, if that helps."""
        options = self._choices.options(group)
        before = self._choices.without_copied(self.structure, group)
        stack: list[tuple[Kind, ...]] = [(), *reversed(self._choices.known(group))]
        for _ in range(TRIALS if options else 0):
            if not stack:
                break
            kinds = stack.pop()
            choice = {place: size for kind in kinds for place, size in options[kind].items()}
            self._use(adopt(before, choice))
            if self.error([*passed, group]) is None:
                self._use(self._choices.copied(self.structure, kinds))
                return True
            more = self._choices.near(group, kinds, self._raised)
            stack.extend((*kinds, kind) for kind in reversed(more))
        self._use(before)
        return False

    def _use(self, structure: Structure) -> None:
        if structure is not self.structure:
            self.structure, self._slicer = structure, Slicer(self._model, structure)

    def _runs_in_training(self) -> bool:
        try:
            self._call(set_mode(plain_copy(self._model), training=True))
        except Exception:  # it wants targets, or other inputs
            return False
        return True

    def error(self, names: list[str]) -> str | None:
        """Return what fails when half of each named group is removed or reordered, if anything."""
        self._raised: Exception | None = None
        try:
            mask, order = self.mask_difference(names), self.permutation_difference(names)
        except Exception as error:  # whatever the user's forward raises is the reason
            self._raised = error
            return f"fails when smaller: {_words(error)}"
        try:
            self._train(names)
        except Exception as error:  # a head that runs only in training, and could not be traced
            self._raised = error
            return f"fails when smaller, in training: {_words(error)}"
        if not order <= self._tolerance:
            return f"output changes by {order:.1e} when its units are reordered"
        if not mask <= self._tolerance:
            return f"sliced and masked outputs differ by {mask:.1e}"
        return None

    def _train(self, names: list[str]) -> None:
        """Run the network in training mode, with half of each named group removed."""
        if self._trains:
            kept = {name: _half(self.structure.sizes[name], name) for name in names}
            self._call(set_mode(self._slicer.build(kept), training=True))

    def permutation_difference(self, names: list[str]) -> float:
        """Relative change of the output when the units of the groups are reordered."""
        order = {group.name: torch.arange(group.size) for group in self.structure.groups}
        order |= {name: _shuffled(self.structure.sizes[name], name) for name in names}
        outputs = self._run(self._slicer.apply(permutation(self.structure, order)))
        return self._difference(outputs, self._dense)

    def mask_difference(self, names: list[str]) -> float:
        """Relative difference of slicing and masking half of the groups.

        Norms over units count those that are kept.
        """
        kept = {name: _half(self.structure.sizes[name], name) for name in names}
        sliced, masked = self._run(self._slicer(kept)), self._slicer.masked(kept).eval()
        if self.structure.renormalized.isdisjoint(names):
            return self._difference(sliced, self._run(masked))
        with KeptUnits() as dense:
            self._run(self._model)
        with KeptUnits(dense):
            return self._difference(sliced, self._run(masked))

    def _difference(self, outputs: list[Tensor], expected: list[Tensor]) -> float:
        worst = 0.0
        for output, target in zip(outputs, expected, strict=True):
            if output.shape != target.shape:
                raise ValueError(f"output {tuple(output.shape)}, was {tuple(target.shape)}")
            if output.numel():
                error = float((output - target).abs().max()) / self._scale
                worst = max(worst, error if error == error else float("inf"))
        return worst


def _words(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    place = user_line(error)
    return f"{said} ({place})" if place else said


def _half(size: int, name: str) -> Tensor:
    return _shuffled(size, name)[: (size + 1) // 2].sort().values


def _shuffled(size: int, name: str) -> Tensor:
    generator = torch.Generator().manual_seed(sum(name.encode()))
    return torch.randperm(size, generator=generator)


def _double(model: nn.Module, inputs: ExampleInputs) -> tuple[nn.Module, Any]:
    """Copy the model in double precision, or unchanged if its code fixes the precision."""
    twin = disturb(plain_copy(model).eval())
    wide = copy.deepcopy(twin).double()
    wide_inputs = tree_map(
        lambda leaf: leaf.double() if torch.is_tensor(leaf) and leaf.is_floating_point() else leaf,
        inputs,
    )
    try:
        with slow_attention():
            call(wide, wide_inputs)
    except Exception:  # mixed precision inside the user's forward
        return twin, inputs
    return wide, wide_inputs
