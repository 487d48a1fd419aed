"""Analysis of a model: its structure, proved on the model itself.

``analyze`` traces and then tries: groups whose removal breaks the forward pass (sizes that are
constants of the code) are pinned with the error as the reason. ``verify`` repeats the proof on any
structure: permuting the units inside each group must not change the output, and the sliced model
must equal the masked one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.structure import Graphs
from autoprune.structure.branch_proof import BranchBench
from autoprune.structure.copies import require_no_need_of_hooks, unwrapped
from autoprune.structure.depth import deepened
from autoprune.structure.finite import require_finite, require_values
from autoprune.structure.graph import ExampleInputs, ModelGraph, call, trial
from autoprune.structure.kept_sizes import adopt
from autoprune.structure.named_sizes import named_ints, unset, with_named
from autoprune.structure.outputs import counted, named
from autoprune.structure.pinning import pin
from autoprune.structure.plan import Plan
from autoprune.structure.proof import Bench
from autoprune.structure.table import Branch, Pinned, Structure


@dataclass(frozen=True)
class Verification:
    """Result of ``verify``.

    ``permutation_error`` and ``mask_error`` are the largest output differences relative to the
    largest output; ``renormalized`` names the groups that a layer or group norm runs over, whose
    statistics change legitimately (the masked network counts kept units only); ``structure`` is the
    given one with every failed group pinned, ``failures`` these groups with the reasons.
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


def analyze(
    model: nn.Module,
    example_inputs: ExampleInputs,
    *,
    outputs: str | Sequence[str] = (),
    sizes: str | Sequence[str] = (),
) -> Structure:
    """Return the structure of a model: the groups that can be pruned, and what is pinned and why.

    ``example_inputs`` is a tensor, a tuple of positional inputs or a dict of keyword inputs; the
    first dimension of the first tensor counts as the samples that costs are per. ``outputs`` names
    those of the model that count: keys, attributes or numbers, as ``logits``, ``0`` or ``1.boxes``.
    The others, hidden states that nobody reads, may shrink; without names all count. ``sizes`` are
    ints of modules that may have to follow the plan beside those that are found, wherever they are:
    ``blocks.*.attn.num_heads``. The model is not changed, whatever its mode or gradient flags.

    Raises UsageError if it cannot be exported, if it has no output or size of a name, or if a
    weight is NaN or infinite: then nothing can be proved on it.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"{type(model).__name__} is no network", "pass a torch.nn.Module")
    require_values(model)
    require_finite(model)
    model = unwrapped(model)
    require_no_need_of_hooks(model, lambda network: call(network, example_inputs))
    names = named(outputs)
    if names:
        counted(trial(model, example_inputs), names)
    ints = named_ints(model, named(sizes))
    graphs = Graphs(model, example_inputs, names)
    traced = with_named(graphs.structure(), model, ints)
    proved, linked = verify(model, traced, example_inputs), frozenset[str]()
    while more := _links(traced, proved) - linked:
        linked |= more
        traced = with_named(graphs.structure(linked), model, ints)
        again = verify(model, traced, example_inputs)
        if _halved(again.structure) >= _halved(proved.structure):
            break
        proved = again
    widths = _set_the_rest(model, proved.structure, example_inputs)
    return _with_proved_branches(model, widths, example_inputs, graphs.evaluation)


def _with_proved_branches(
    model: nn.Module, structure: Structure, example_inputs: ExampleInputs, graph: ModelGraph
) -> Structure:
    """Return the structure with those of its branches that can be taken out."""
    if not structure.branches:
        return structure
    with torch.no_grad():
        bench = BranchBench(model, deepened(structure), example_inputs, graph)
        good = list(structure.branches)
        if bench.error(good) is not None:
            good = [] if bench.error(()) else _passing(good, bench.error)
    names = {branch.name for branch in good}
    kept = tuple(
        replace(branch, outer=tuple(name for name in branch.outer if name in names))
        for branch in structure.branches
        if branch.name in names
    )
    return replace(structure, branches=kept)


def _passing(
    suspects: Sequence[Branch], error: Callable[[Sequence[Branch]], str | None]
) -> list[Branch]:
    """Return the branches that pass together, found by halves; all together do not."""

    def grow(passed: list[Branch], more: Sequence[Branch]) -> list[Branch]:
        if not more or error([*passed, *more]) is None:
            return [*passed, *more]
        return halves(passed, more)

    def halves(passed: list[Branch], more: Sequence[Branch]) -> list[Branch]:
        if len(more) == 1:
            return passed
        middle = len(more) // 2
        return grow(grow(passed, more[:middle]), more[middle:])

    return halves([], suspects)


def _set_the_rest(
    model: nn.Module, structure: Structure, example_inputs: ExampleInputs
) -> Structure:
    """Let the sizes that a user names follow the plan even where the proof holds without them."""
    more = unset(structure)
    if more:
        found = verify(model, adopt(structure, more), example_inputs)
        return found.structure if found.ok else structure
    return structure


def _links(traced: Structure, proved: Verification) -> frozenset[str]:
    """Paths of modules where two groups fail that have one size if the code means the input's."""
    failed = {failure.name for failure in proved.failures}
    return frozenset(
        path
        for path, one, other in traced.links
        if all(failed & {name for name, _ in size.terms} for size in (one, other))
    )


def _halved(structure: Structure) -> int:
    """Count the elements that are left when half of every group goes."""
    plan = Plan.uniform(structure, 0.5)
    return sum(tensor.numel(plan) for tensor in structure.tensors)


@torch.no_grad()
def verify(
    model: nn.Module,
    structure: Structure,
    example_inputs: ExampleInputs,
    *,
    outputs: str | Sequence[str] | None = None,
) -> Verification:
    """Prove a structure on the model, pinning every group that fails.

    Works on a copy in double precision with disturbed weights, so that fresh normalization layers
    or zero-initialized branches cannot hide a wrong wire. Costs a few forward passes. ``outputs``
    names those that are compared: the structure's own, unless others are given.

    Raises UsageError if the model does not run, or has no output of a name.
    """
    if outputs is not None:
        structure = replace(structure, outputs=named(outputs))
    with blamed("nothing can be proved on the model"):
        bench = Bench(unwrapped(model), structure, example_inputs)
    suspects, failures = _separate(bench, [group.name for group in structure.groups])
    proved = pin(bench.structure, {failure.name: failure.reason for failure in failures})
    return Verification(
        permutation_error=bench.permutation_difference(suspects),
        mask_error=bench.mask_difference(suspects),
        renormalized=tuple(name for name in suspects if name in structure.renormalized),
        failures=tuple(failures),
        structure=proved,
    )


def _separate(bench: Bench, suspects: list[str]) -> tuple[list[str], list[Pinned]]:
    """Keep the groups that pass together, by halves: a few that fail cost few proofs."""
    failures: list[Pinned] = []

    def grow(passed: list[str], more: list[str]) -> list[str]:
        reason = bench.error([*passed, *more]) if more else None
        if reason is None:
            return [*passed, *more]
        if len(more) == 1:
            if bench.sets_ints(passed, more[0]):
                return [*passed, more[0]]
            kept = bench.ints(more[0])
            reason += f"; kept as {kept}" if kept and "smaller" in reason else ""
            failures.append(Pinned(more[0], bench.structure.sizes[more[0]], reason))
            return passed
        middle = len(more) // 2
        return grow(grow(passed, more[:middle]), more[middle:])

    return grow([], suspects), failures
