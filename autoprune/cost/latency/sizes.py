"""Sizes of operations as functions of a plan, and the grids to measure them on."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map

from autoprune.cost.latency.calls import Call, Recorder
from autoprune.cost.latency.deployed import deployed
from autoprune.cost.latency.table import AXES, Axis
from autoprune.cost.polynomial import Counts
from autoprune.data.task import Batch, Task
from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.networks.execution import Form, forward
from autoprune.networks.folding import Pair, folded, pairs_in
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import BRANCH, Structure

KNOTS = 9
"""Widths measured along one axis, at most."""


@dataclass(frozen=True)
class SizedCall:
    """An operation whose sizes are ``fixed + times @ counts``: [sizes] and [sizes, groups].

    ``within``: indices of the branches that it is part of.
    """

    call: Call
    fixed: Counts
    times: Counts
    within: tuple[int, ...] = ()

    def at(self, counts: Counts) -> tuple[int, ...]:
        """Return the sizes under a plan."""
        return tuple((self.fixed + self.times @ counts).tolist())


@dataclass(frozen=True)
class Grid:
    """The plans that the time of an operation is measured at, [first axis, second axis, groups]."""

    axes: tuple[Axis, Axis]
    plans: Counts

    def points(self) -> Iterator[tuple[tuple[int, int], Counts]]:
        """Yield each place in the table with its plan."""
        for row, column in product(*(range(size) for size in self.plans.shape[:AXES])):
            yield (row, column), self.plans[row, column]


def sized_calls(
    model: nn.Module,
    structure: Structure,
    task: Task,
    batch: Batch,
    form: Form,
    pairs: Sequence[Pair],
    choices: Sequence[Counts],
) -> list[SizedCall]:
    """Return the operations of a network, and how their sizes depend on the plan.

    The network is run once, and on the meta device with each group a step narrower.

    ``choices`` are the counts that each group may keep, ascending. Raises UsageError for networks
    that cannot be run so.
    """
    real = Recorder()
    with deployed(model, task, batch, form, pairs) as work, real:
        work()
    sizes = np.array([options[-1] for options in choices], np.int64)
    whole = real.calls  # memory layouts differ where nothing is computed
    with blamed("the latency of the network cannot be taken apart", "budget another cost"):
        narrowed = _Unreal(model, structure, task, batch, form, pairs)
        fixed = [np.array(call.sizes, np.int64) for call in whole]
        times = [np.zeros((len(call.sizes), len(choices)), np.int64) for call in whole]
        within: list[list[int]] = [[] for _ in whole]
        kinds = [group.kind for group in structure.groups]
        for group, options in enumerate(choices):
            if len(options) == 1:
                continue
            counts = sizes.copy()
            counts[group] = options[-2]
            if kinds[group] == BRANCH:
                for place in _lost(whole, narrowed(counts)):
                    within[place].append(group)
                continue
            narrower, step = narrowed(counts), int(options[-1] - options[-2])
            if [call.name for call in whole] != [call.name for call in narrower]:
                raise UsageError("what the network does changes with its widths")
            for row, slopes, call in zip(fixed, times, narrower, strict=True):
                fall, left = np.divmod(row - np.array(call.sizes, np.int64), step)
                if not left.any() and (fall >= 0).all():  # else its size is seen as constant
                    slopes[:, group] = fall
    return [
        SizedCall(call, row - slopes @ sizes, slopes, tuple(branches))
        for call, row, slopes, branches in zip(whole, fixed, times, within, strict=True)
    ]


def _lost(whole: Sequence[Call], left: Sequence[Call]) -> range:
    """Return the places of the operations that go with a branch: all but those before and after.

    The addition that brought it back stays, with a constant for a summand.
    """

    def alike(one: Call, other: Call) -> bool:
        return one.name == other.name and one.sizes == other.sizes

    shortest = min(len(whole), len(left))
    pairs = zip(whole, left, strict=False)
    before = next((at for at, pair in enumerate(pairs) if not alike(*pair)), shortest)
    backwards = zip(reversed(whole), reversed(left), strict=False)
    after = next((at for at, pair in enumerate(backwards) if not alike(*pair)), shortest)
    after = min(after, shortest - before)
    end = len(whole) - after
    if len(left) - after > before and whole[end - 1].name == left[len(left) - after - 1].name:
        end -= 1
    return range(before, end)


class _Unreal:
    """Recorder of the operations of compact networks on the meta device."""

    def __init__(
        self,
        model: nn.Module,
        structure: Structure,
        task: Task,
        batch: Batch,
        form: Form,
        pairs: Sequence[Pair],
    ) -> None:
        self._structure, self._task, self._form = structure, task, form
        self._slicer = Slicer(copy.deepcopy(model).eval().to("meta"), structure)
        self._inputs = tree_map(lambda x: x.to("meta") if torch.is_tensor(x) else x, batch)
        names = {module: name for name, module in model.named_modules()}
        self._pairs = [(names[pair.conv], names[pair.norm]) for pair in pairs]

    def __call__(self, counts: Counts) -> list[Call]:
        groups = zip(self._structure.groups, counts.tolist(), strict=True)
        net = self._slicer({group.name: torch.arange(count) for group, count in groups})
        pairs, recorder = pairs_in(net, self._pairs), Recorder()
        with torch.inference_mode(), folded(pairs), torch.device("meta"), recorder:
            forward(net, self._task, self._inputs, self._form)
        return recorder.calls


def grid(call: SizedCall, choices: Sequence[Counts]) -> Grid:
    """Return the plans at which to measure an operation, and the axes they lie on.

    An operation has two axes if its sizes depend on two disjoint sets of groups (a convolution's
    inputs and outputs); else one, along which all its groups grow together.
    """
    forms = _forms(call)
    groups = [np.flatnonzero(times) for _, times in forms]
    if len(forms) > AXES or len(np.unique(np.concatenate([*groups, []]))) < sum(map(len, groups)):
        sizes = np.array([options[-1] for options in choices])
        forms = [max(forms, key=lambda form: int(form[0] + form[1] @ sizes))]
        groups = [np.flatnonzero(call.times.any(axis=0))]
    whole = np.array([options[-1] for options in choices], np.int64)
    lines = [_line(whole, members, choices) for members in groups]
    axes = []
    for place, (fixed, times) in enumerate(forms):
        along = fixed + lines[place] @ times
        knots, first = np.unique(along, return_index=True)
        lines[place] = lines[place][first]
        axes.append(Axis(int(fixed), tuple(times.tolist()), tuple(knots.tolist())))
    while len(axes) < AXES:
        axes.append(Axis(1, (0,) * len(choices), (1,)))
        lines.append(whole[None])
        groups.append(np.arange(0))
    plans = np.tile(whole, (len(lines[0]), len(lines[1]), 1))
    plans[:, :, groups[0]] = lines[0][:, None, groups[0]]
    plans[:, :, groups[1]] = lines[1][None, :, groups[1]]
    return Grid((axes[0], axes[1]), plans)


def _forms(call: SizedCall) -> list[tuple[int, Counts]]:
    """Return the different sizes of an operation that vary, multiples of one another once."""
    forms: dict[tuple[int, ...], tuple[int, Counts]] = {}
    for fixed, times in zip(call.fixed.tolist(), call.times, strict=True):
        if times.any():
            common = math.gcd(fixed, *times.tolist())
            key = (fixed // common, *(times // common).tolist())
            forms[key] = (key[0], times // common)
    return list(forms.values())


def _line(whole: Counts, members: Counts, choices: Sequence[Counts]) -> Counts:
    """Let some groups grow together from the least they may keep to all, [knots, groups]."""
    longest = max((len(choices[group]) for group in members), default=1)
    knots = min(KNOTS, longest)
    line = np.tile(whole, (knots, 1))
    for place, fraction in enumerate(np.linspace(0, 1, knots)):
        for group in members:
            options = choices[group]
            last = len(options) - 1
            line[place, group] = options[round(fraction * last) if knots > 1 else last]
    return line
