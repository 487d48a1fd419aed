"""Analysis of a model: its structure, proved on the model itself.

``analyze`` traces and then tries: groups whose removal breaks the forward pass (sizes that are
constants of the code) are pinned with the error as the reason. ``verify`` repeats the proof on any
structure: permuting the units inside each group must not change the output, and the sliced model
must equal the masked one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.structure import trace_structure
from autoprune.structure.copies import (
    disturb,
    plain_copy,
    require_no_need_of_hooks,
    set_mode,
    unwrapped,
)
from autoprune.structure.finite import require_finite, require_values
from autoprune.structure.graph import ExampleInputs, call, slow_attention, user_line
from autoprune.structure.index_patterns import permutation
from autoprune.structure.kept_sizes import Choices, adopt
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Extent, Pinned, Product, Structure

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Largest error relative to the largest output that still counts as equal."""


@dataclass(frozen=True)
class Verification:
    """Result of ``verify``.

    ``permutation_error`` and ``mask_error`` are the largest output differences relative to the
    largest output; ``renormalized`` names the groups that a layer or group norm runs over, whose
    statistics change legitimately and which only the permutation proves; ``structure`` is the given
    one with every failed group pinned, ``failures`` these groups with the reasons.
    """

    permutation_error: float
    mask_error: float
    renormalized: tuple[str, ...]
    failures: tuple[Pinned, ...]
    structure: Structure

    @property
    def ok(self) -> bool:
        """Whether every group passed."""
        return not self.failures


def analyze(model: nn.Module, example_inputs: ExampleInputs) -> Structure:
    """Return the structure of a model: the groups that can be pruned, and what is pinned and why.

    ``example_inputs`` is a tensor, a tuple of positional inputs or a dict of keyword inputs; the
    first dimension of the first tensor counts as the samples that costs are per. The model is not
    changed, whatever its mode or gradient flags. Raises UsageError if it cannot be exported, or if
    a weight is NaN or infinite: then nothing can be proved on it.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"{type(model).__name__} is no network", "pass a torch.nn.Module")
    require_values(model)
    require_finite(model)
    model = unwrapped(model)
    require_no_need_of_hooks(model, lambda network: call(network, example_inputs))
    structure = trace_structure(model, example_inputs)
    return verify(model, structure, example_inputs).structure


@torch.no_grad()
def verify(model: nn.Module, structure: Structure, example_inputs: ExampleInputs) -> Verification:
    """Prove a structure on the model, pinning every group that fails.

    Works on a copy in double precision with disturbed weights, so that fresh normalization layers
    or zero-initialized branches cannot hide a wrong wire. Costs a few forward passes.
    """
    with blamed("nothing can be proved on the model"):
        bench = _Bench(unwrapped(model), structure, example_inputs)
    suspects, failures = _separate(bench, [group.name for group in structure.groups])
    proved = pin(bench.structure, {failure.name: failure.reason for failure in failures})
    return Verification(
        permutation_error=bench.permutation_difference(suspects),
        mask_error=bench.mask_difference(suspects),
        renormalized=tuple(name for name in suspects if name in structure.renormalized),
        failures=tuple(failures),
        structure=proved,
    )


def _separate(bench: _Bench, suspects: list[str]) -> tuple[list[str], list[Pinned]]:
    """Keep the groups that pass together, by halves: a few that fail cost few proofs."""
    failures: list[Pinned] = []

    def grow(passed: list[str], more: list[str]) -> list[str]:
        reason = bench.error([*passed, *more]) if more else None
        if reason is None:
            return [*passed, *more]
        if len(more) == 1:
            if bench.sets_ints(passed, more[0]):
                return [*passed, more[0]]
            kept = ", ".join(f"{path}.{name}".strip(".") for path, name in bench.ints(more[0]))
            reason += f"; kept as {kept}" if kept and "smaller" in reason else ""
            failures.append(Pinned(more[0], bench.structure.sizes[more[0]], reason))
            return passed
        middle = len(more) // 2
        return grow(grow(passed, more[:middle]), more[middle:])

    return grow([], suspects), failures


class _Bench:
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
        with torch.random.fork_rng(devices=[]), slow_attention():
            torch.manual_seed(0)
            leaves = tree_leaves(call(model, self._inputs))
        return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]

    def ints(self, group: str) -> list[tuple[str, str]]:
        """Return the ints of modules that may hold the size of a group."""
        return list(dict(self._choices.options(group)))

    def sets_ints(self, passed: list[str], group: str) -> bool:
        """Let ints of modules follow the plan, the fewest that make a group pass, if any do."""
        before = self.structure
        for choice in self._choices.of(group):
            self._use(adopt(before, choice))
            helped = self.error([*passed, group]) is None
            self._choices.note(choice, helped)
            if helped:
                return True
        self._use(before)
        return False

    def _use(self, structure: Structure) -> None:
        if structure is not self.structure:
            self.structure, self._slicer = structure, Slicer(self._model, structure)

    def _runs_in_training(self) -> bool:
        try:
            self._run(set_mode(plain_copy(self._model), training=True))
        except Exception:  # it wants targets, or other inputs
            return False
        return True

    def error(self, names: list[str]) -> str | None:
        """Return what fails when half of each named group is removed or reordered, if anything."""
        try:
            mask, order = self.mask_difference(names), self.permutation_difference(names)
        except Exception as error:  # whatever the user's forward raises is the reason
            return f"fails when smaller: {_words(error)}"
        try:
            self._train(names)
        except Exception as error:  # a head that runs only in training, and could not be traced
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
            self._run(set_mode(self._slicer.build(kept), training=True))

    def permutation_difference(self, names: list[str]) -> float:
        """Relative change of the output when the units of the groups are reordered."""
        order = {group.name: torch.arange(group.size) for group in self.structure.groups}
        order |= {name: _shuffled(self.structure.sizes[name], name) for name in names}
        outputs = self._run(self._slicer.apply(permutation(self.structure, order)))
        return self._difference(outputs, self._dense)

    def mask_difference(self, names: list[str]) -> float:
        """Relative difference of slicing and masking half of the groups.

        Groups that a norm runs over are only run, as their statistics change.
        """
        kept = {name: _half(self.structure.sizes[name], name) for name in names}
        plain = {name: k for name, k in kept.items() if name not in self.structure.renormalized}
        if len(plain) < len(kept):
            self._difference(self._run(self._slicer(kept)), self._dense)
        sliced = self._run(self._slicer(plain))
        return self._difference(sliced, self._run(self._slicer.masked(plain).eval()))

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


def pin(structure: Structure, reasons: Mapping[str, str]) -> Structure:
    """Return the structure with groups pinned: their units stay, for the reasons given."""
    if not reasons:
        return structure
    sizes = structure.sizes

    def fix(extent: Extent) -> Extent:
        fixed = extent.fixed + sum(t * sizes[name] for name, t in extent.terms if name in reasons)
        return Extent(fixed, tuple(term for term in extent.terms if term[0] not in reasons))

    return replace(
        structure,
        groups=tuple(group for group in structure.groups if group.name not in reasons),
        pinned=structure.pinned
        + tuple(Pinned(name, sizes[name], reason) for name, reason in reasons.items()),
        layers=tuple(
            replace(
                layer,
                macs=tuple(
                    Product(product.factor, tuple(fix(extent) for extent in product.extents))
                    for product in layer.macs
                ),
                reads=fix(layer.reads),
                writes=fix(layer.writes),
            )
            for layer in structure.layers
        ),
        slices={name: item for name, item in structure.slices.items() if name not in reasons},
        tensors=tuple(
            replace(tensor, shape=tuple(fix(extent) for extent in tensor.shape))
            for tensor in structure.tensors
        ),
        widths={key: fix(extent) for key, extent in structure.widths.items()},
        options=tuple((key, fix(extent)) for key, extent in structure.options),
        renormalized=structure.renormalized - set(reasons),
    )
