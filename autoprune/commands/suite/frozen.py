"""Pruning problem without its network and data, as JSON: all that a searcher looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.errors import DamagedError, UsageError
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import Scorer
from autoprune.ranking.ordering import Ranking
from autoprune.structure.table import (
    Extent,
    Group,
    Layer,
    Product,
    Slice,
    Structure,
    TensorInfo,
)


@dataclass(frozen=True, eq=False)
class FrozenProblem:
    """Groups, costs, error curves and statistics of a network; budgets are bound to it later.

    Costs are exact: the extents of all layers and tensors are stored. What is missing is the
    weights: a slice says which tensor reads or makes a group's units, not where, and the ranking
    repairs nothing. ``steps``: the number that each group's widths are multiples of.
    """

    structure: Structure
    ranking: Ranking
    statistics: Mapping[str, NDArray[np.float64]]
    steps: tuple[int, ...]

    @classmethod
    def of(cls, problem: PruningProblem) -> Self:
        """Take a problem apart; raises UsageError where branches may go, which is not stored."""
        if any(group.kind == "branch" for group in problem.structure.groups):
            raise UsageError("tables hold widths only", "pose the problem with --depth off")
        return cls(problem.structure, problem.ranking, problem.statistics, problem.budget.steps)

    @cached_property
    def cost(self) -> CostModel:
        """Costs of every plan."""
        return CostModel(self.structure)

    def pose(self, budget: str, scorer: Scorer) -> PruningProblem:
        """Return the problem at a budget, scored by ``scorer``."""
        bound = Budget.parse(budget).bind(self.cost, self.steps)
        return PruningProblem(
            self.structure, self.cost, bound, self.ranking, scorer, self.statistics
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        structure, names = self.structure, list(self.structure.sizes)
        return {
            "groups": [[group.name, group.size, group.kind] for group in structure.groups],
            "steps": list(self.steps),
            "layers": [
                {
                    "module": layer.module,
                    "kind": layer.kind,
                    "weight": layer.weight,
                    "macs": [[one.factor, [_extent(e) for e in one.extents]] for one in layer.macs],
                    "reads": _extent(layer.reads),
                    "writes": _extent(layer.writes),
                }
                for layer in structure.layers
            ],
            "tensors": [
                [item.name, item.is_parameter, item.itemsize, [_extent(e) for e in item.shape]]
                for item in structure.tensors
            ],
            "slices": {
                name: [[part.tensor, part.dim, part.role] for part in structure.slices[name]]
                for name in names
            },
            "ranking": self.ranking.method,
            "orders": {name: self.ranking.orders[name].tolist() for name in names},
            "errors": {name: np.asarray(self.ranking.errors[name]).tolist() for name in names},
            "statistics": {name: list(map(float, row)) for name, row in self.statistics.items()},
        }

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        try:
            groups = tuple(Group(str(n), int(size), str(kind)) for n, size, kind in data["groups"])
            structure = Structure(
                groups=groups,
                pinned=(),
                layers=tuple(map(_layer, data["layers"])),
                slices={group.name: _slices(group, data["slices"]) for group in groups},
                tensors=tuple(
                    TensorInfo(name, parameter, itemsize, tuple(map(_read_extent, shape)))
                    for name, parameter, itemsize, shape in data["tensors"]
                ),
                aliases={},
                widths={},
            )
            ranking = Ranking(
                data["ranking"],
                {group.name: torch.tensor(data["orders"][group.name]) for group in groups},
                {group.name: _curve(data["errors"][group.name], group) for group in groups},
            )
            statistics = {
                str(name): np.array(row, np.float64) for name, row in data["statistics"].items()
            }
            return cls(structure, ranking, statistics, tuple(map(int, data["steps"])))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"the problem of a table is damaged: {error}") from None


def _extent(extent: Extent) -> list[Any]:
    return [extent.fixed, *([name, times] for name, times in extent.terms)]


def _read_extent(data: Sequence[Any]) -> Extent:
    fixed, *terms = data
    return Extent(int(fixed), tuple((str(name), int(times)) for name, times in terms))


def _layer(data: Mapping[str, Any]) -> Layer:
    return Layer(
        data["module"],
        data["kind"],
        data["weight"],
        tuple(
            Product(int(factor), tuple(map(_read_extent, extents)))
            for factor, extents in data["macs"]
        ),
        _read_extent(data["reads"]),
        _read_extent(data["writes"]),
    )


def _slices(group: Group, data: Mapping[str, Any]) -> tuple[Slice, ...]:
    nowhere = torch.empty((group.size, 0), dtype=torch.int64)
    return tuple(Slice(tensor, dim, role, nowhere) for tensor, dim, role in data[group.name])


def _curve(data: Sequence[float], group: Group) -> NDArray[np.float64]:
    curve = np.array(data, np.float64)
    if curve.shape != (group.size + 1,):
        raise ValueError(f"the error curve of {group.name} has {len(curve)} entries")
    return curve
