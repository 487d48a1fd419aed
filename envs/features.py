"""Static features of a group: the entries of an observation that no decision changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoprune.cost.bound_budget import BoundBudget
from autoprune.foundation.arrays import Floats
from autoprune.problem.problem import PruningProblem
from autoprune.problem.statistics import STATISTICS

KINDS: Final = ("conv", "linear", "recurrent", "embedding", "parameter")
CURVE: Final = tuple(i / 8 for i in range(1, 8))
"""Keep fractions at which the observation shows the group's error curve."""

GROUP_ENTRIES: Final[Mapping[str, str]] = {
    "share": "log share of the limited cost, whatever its unit, that the group may save, [-1, 0]",
    "macs_share": "log share of the dense MACs that go with the group, [-1, 0]; 0 is all of them",
    "parameters_share": "the same of the parameters, [-1, 0]",
    "size": "log2 of the group's units over 16, [0, 1]",
    "readers": "log2 of 1 + the weights that read the group, over 8, [0, 1]",
    **{f"is_{kind}": f"1 if the group's kind is {kind}, else 0" for kind in KINDS},
    **{name: "how unequal the units' weight norms are, [0, 1]" for name in STATISTICS},
    **{f"error_{c:g}": f"squashed error left at keep fraction {c:g}, [0, 1]" for c in CURVE},
}
"""Name and meaning of every entry, in order. An error e, which may exceed 1, is squashed to
sqrt(e / (1 + e))."""


def group_features(problem: PruningProblem, errors: Sequence[Floats]) -> NDArray[np.float32]:
    """Return the features of every group, [groups, len(GROUP_ENTRIES)].

    ``errors``: the error curve of each group by count, [size + 1].
    """
    cost, none = problem.cost, np.zeros(len(STATISTICS))
    limited = _limited_shares(problem.budget)
    rows = [
        [
            _log_share(limited[index]),
            _log_share(cost.macs.shares[index]),
            _log_share(cost.parameters.shares[index]),
            np.log2(group.size) / 16,
            _readers(problem, group.name),
            *(float(group.kind == kind) for kind in KINDS),
            *problem.statistics.get(group.name, none),
            *map(squash, at_fractions(errors[index], np.array(CURVE))),
        ]
        for index, group in enumerate(problem.structure.groups)
    ]
    return np.clip(np.array(rows), -1, 1).reshape(-1, len(GROUP_ENTRIES)).astype(np.float32)


def squash(error: float) -> float:
    """Map an error in [0, inf) to [0, 1); the root spreads small errors."""
    return float(np.sqrt(error / (1 + error)))


def at_fractions(curve: Floats, fractions: Floats) -> Floats:
    """Return a curve by count, [size + 1], interpolated at keep fractions."""
    return np.interp(fractions * (len(curve) - 1), np.arange(len(curve)), curve)


def _limited_shares(budget: BoundBudget) -> Floats:
    """Largest share of a limited cost that each group may save, over the limits, [groups]."""
    without = np.tile(budget.largest, (len(budget.largest), 1))
    np.fill_diagonal(without, budget.smallest)
    shares = [1 - c.cost.many(without) / c.cost.dense for c in budget.constraints]
    most: Floats = np.max([np.zeros(len(without)), *shares], axis=0)
    return most


def _readers(problem: PruningProblem, group: str) -> float:
    slices = problem.structure.slices[group]
    return float(np.log2(1 + len({part.tensor for part in slices if part.role == "in"}))) / 8


def _log_share(share: float) -> float:
    return max(-1.0, float(np.log2(max(share, 2.0**-16))) / 16)
