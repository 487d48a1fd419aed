"""Statistics over units that come back to them: the algebra of a norm, however it is written.

A mean or a norm over units is one value, and pins them, unless all that happens to it is
arithmetic with constants and other statistics of the same units until it scales or shifts these
very units: then it is a norm, whose statistics change with its units as those of a layer norm do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoprune.structure.labels import squash
from autoprune.structure.trace import Statistic, Trace

ARITHMETIC = frozenset(
    "add sub mul div rsub pow square abs neg sqrt rsqrt reciprocal clamp clamp_min clamp_max "
    "maximum minimum max min to _to_copy type_as clone alias detach contiguous "
    "expand expand_as broadcast_to unsqueeze squeeze".split()
)
"""Operators that keep a statistic one."""


def statistic(trace: Trace, column: Tensor, reason: str) -> Tensor:
    """Return the label of a value that sums up the units of ``column``."""
    label = trace.labels.fresh(1)
    trace.statistics.append(Statistic(label, column, reason))
    return label


def keep_to_arithmetic(trace: Trace, name: str, values: Any) -> None:
    """Pin the statistics that go into an operator which does more than arithmetic."""
    if not trace.statistics or name.rstrip("_") in ARITHMETIC:
        return
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor) and leaf.dtype == torch.int64:
            use_up(trace, leaf)


def use_up(trace: Trace, labels: Tensor) -> None:
    """Declare that a value is used for something else than a norm, if it is a statistic."""
    roots = set(trace.labels.roots(squash(labels)).flatten().tolist())
    for one in trace.statistics:
        if trace.labels.find(int(one.label)) in roots:
            trace.labels.pin(one.label, one.reason)


def settle(trace: Trace) -> None:
    """Decide on each statistic once everything is known: a norm, or a pin of its units."""
    open_ones = list(trace.statistics)
    while open_ones:
        norms = [one for one in open_ones if _comes_back(trace, one)]
        if len(norms) == len(open_ones):
            break
        for one in open_ones:
            if one not in norms:
                trace.labels.pin(one.column, one.reason)
                trace.labels.pin(one.label, one.reason)
        open_ones = norms
    trace.normed.extend(one.column for one in open_ones)


def _comes_back(trace: Trace, one: Statistic) -> bool:
    root = trace.labels.find(int(one.label))
    if trace.labels.reason(root) is not None:
        return False
    places = [to for label, to in trace.returns if trace.labels.find(label) == root]
    units = _units(trace, one.column)
    return bool(places) and all(_units(trace, place) == units for place in places)


def _units(trace: Trace, labels: Tensor) -> set[int]:
    return set(trace.labels.roots(squash(labels)).flatten().tolist())
