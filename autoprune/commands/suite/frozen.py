"""Pruning problem without its network and data, as JSON: all that a searcher looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.errors import DamagedError
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import Scorer
from autoprune.ranking.ordering import Ranking
from autoprune.structure.depth import optional
from autoprune.structure.table import (
    Branch,
    Extent,
    Group,
    Layer,
    Product,
    Removal,
    Slice,
    Structure,
    TensorInfo,
)

_NO_FIGURES: Final = dict.fromkeys(("orders", "errors", "statistics"))


@dataclass(frozen=True, eq=False)
class FrozenProblem:
    """Groups, costs, error curves and statistics of a network; budgets are bound to it later.

    Costs are exact: the extents of all layers and tensors are stored. What is missing is the
    weights: a slice says which tensor reads or makes a group's units, not where, and the ranking
    repairs nothing. Of a branch it knows what goes with it, not how it is taken out. ``steps``: the
    number that each group's widths are multiples of.
    """

    structure: Structure
    ranking: Ranking
    statistics: Mapping[str, NDArray[np.float64]]
    steps: tuple[int, ...]

    @classmethod
    def of(cls, problem: PruningProblem) -> Self:
        """Take a problem apart."""
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

    def resembles(self, other: FrozenProblem) -> bool:
        """Whether two problems are the same but for the last digits of another machine's sums."""
        own, theirs = ({**one.to_json(), **_NO_FIGURES} for one in (self, other))
        return own == theirs and all(
            np.allclose(
                curve, other.ranking.errors[name], rtol=0.02, atol=1e-3 * max(curve.max(), 1e-9)
            )
            for name, curve in self.ranking.errors.items()
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object; what concerns branches is left out where there are none."""
        structure, names = self.structure, list(self.structure.sizes)
        branches = [_branch(one) for one in optional(structure)]
        return {
            "groups": [[group.name, group.size, group.kind] for group in structure.groups],
            "steps": list(self.steps),
            "layers": [
                {
                    "module": layer.module,
                    "kind": layer.kind,
                    "weight": layer.weight,
                    "macs": [[one.factor, _extents(one.extents)] for one in layer.macs],
                    "reads": _extent(layer.reads),
                    "writes": _extent(layer.writes),
                    **({"within": _extents(layer.within)} if layer.within else {}),
                }
                for layer in structure.layers
            ],
            "tensors": [_tensor(item) for item in structure.tensors],
            **({"branches": branches} if branches else {}),
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
                tensors=tuple(_read_tensor(*entry) for entry in data["tensors"]),
                aliases={},
                widths={},
                branches=tuple(_read_branch(*entry) for entry in data.get("branches", ())),
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


def _extents(extents: Sequence[Extent]) -> list[Any]:
    return [_extent(one) for one in extents]


def _tensor(item: TensorInfo) -> list[Any]:
    entry = [item.name, item.is_parameter, item.itemsize, _extents(item.shape)]
    return [*entry, _extents(item.within)] if item.within else entry


def _branch(branch: Branch) -> list[Any]:
    return [branch.name, list(branch.groups), list(branch.outer)]


def _read_extents(data: Sequence[Any]) -> tuple[Extent, ...]:
    return tuple(map(_read_extent, data))


def _read_tensor(
    name: str, parameter: bool, itemsize: int, shape: Sequence[Any], within: Sequence[Any] = ()
) -> TensorInfo:
    return TensorInfo(name, parameter, itemsize, _read_extents(shape), _read_extents(within))


def _read_branch(name: str, groups: Sequence[str], outer: Sequence[str]) -> Branch:
    return Branch(
        name,
        Removal((), (), rank=0, dim=0),
        size=0,
        units=(),
        groups=tuple(map(str, groups)),
        tensors=(),
        layers=(),
        outer=tuple(map(str, outer)),
        value="",
    )


def _read_extent(data: Sequence[Any]) -> Extent:
    fixed, *terms = data
    return Extent(int(fixed), tuple((str(name), int(times)) for name, times in terms))


def _layer(data: Mapping[str, Any]) -> Layer:
    return Layer(
        data["module"],
        data["kind"],
        data["weight"],
        tuple(Product(int(factor), _read_extents(extents)) for factor, extents in data["macs"]),
        _read_extent(data["reads"]),
        _read_extent(data["writes"]),
        _read_extents(data.get("within", ())),
    )


def _slices(group: Group, data: Mapping[str, Any]) -> tuple[Slice, ...]:
    nowhere = torch.empty((group.size, 0), dtype=torch.int64)
    return tuple(Slice(tensor, dim, role, nowhere) for tensor, dim, role in data[group.name])


def _curve(data: Sequence[float], group: Group) -> NDArray[np.float64]:
    curve = np.array(data, np.float64)
    if curve.shape != (group.size + 1,):
        raise ValueError(f"the error curve of {group.name} has {len(curve)} entries")
    return curve
