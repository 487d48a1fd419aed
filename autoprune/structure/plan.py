"""Plans: for every group, how many units stay. A plan is all that an agent produces.

Where branches may go (:mod:`autoprune.structure.depth`) they are groups, too, of one unit each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from autoprune.errors import DamagedError, UsageError
from autoprune.structure.depth import settled
from autoprune.structure.layer_names import groups_of
from autoprune.structure.table import BRANCH, Structure

WHOLE: Final = "only branches may go as a whole, with --depth auto; autoprune inspect lists them"


@dataclass(frozen=True, repr=False)
class Plan(Mapping[str, int]):
    """Units kept per group; immutable, hashable, JSON. Behaves as a mapping name -> count.

    A branch that is gone keeps 0 units, and so does every group in it.
    """

    kept: tuple[tuple[str, int], ...]

    def __repr__(self) -> str:
        """Return the counts by group."""
        return f"Plan({dict(self.kept)})"

    @classmethod
    def of(cls, keep: Mapping[str, int]) -> Plan:
        """Make a plan from any mapping of group names to counts."""
        return cls(tuple((name, int(count)) for name, count in keep.items()))

    @classmethod
    def dense(cls, structure: Structure) -> Plan:
        """Return the plan that keeps everything."""
        return cls.of(structure.sizes)

    @classmethod
    def uniform(cls, structure: Structure, keep_fraction: float) -> Plan:
        """Return the plan that keeps the same fraction of every group, rounded, at least one unit.

        Raises UsageError unless 0 < keep_fraction <= 1.
        """
        if not 0 < keep_fraction <= 1:
            raise UsageError(
                f"keep_fraction must lie in (0, 1], not {keep_fraction}", "0.5 keeps half"
            )
        return cls.of(
            {
                group.name: max(1, int(group.size * keep_fraction + 0.5))
                for group in structure.groups
            }
        )

    @classmethod
    def of_layers(cls, structure: Structure, kept: Mapping[str, int | float]) -> Plan:
        """Make a plan from layers, by path or wildcard, and what they keep; the rest stays whole.

        An int counts units; a float is a fraction, rounded, at least one unit. 0 takes out the
        branches called so, or those of which no group is left, 1 keeps one. Of several names for a
        group the last decides.

        Raises UsageError for a layer that does not exist, more units than it has, or 0 of what is
        no branch that may go.
        """
        branches = {group.name for group in structure.groups if group.kind == BRANCH}
        counts, said = dict(structure.sizes), set[str]()
        for layer, value in kept.items():
            names = groups_of(structure, layer)
            if layer in branches and not isinstance(value, float) and value <= 1:
                names = (layer,)
            elif value == 0:
                if not branches:
                    raise UsageError(f"the plan keeps nothing of {layer!r}", WHOLE)
                names = tuple(name for name in names if name in branches) or names
            said.update(names)
            for name in names:
                size = structure.sizes[name]
                counts[name] = (
                    max(1, int(size * value + 0.5)) if isinstance(value, float) else value
                )
        for branch in structure.branches:
            if branch.name in branches - said and not any(counts[name] for name in branch.groups):
                counts[branch.name] = 0
        plan = cls.of(settled(structure, counts))
        plan.check(structure)
        return plan

    def __getitem__(self, name: str) -> int:
        return self._lookup[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lookup)

    def __len__(self) -> int:
        return len(self.kept)

    @cached_property
    def _lookup(self) -> dict[str, int]:
        return dict(self.kept)

    @property
    def key(self) -> str:
        """Content hash, stable across processes and versions."""
        return hashlib.sha256(json.dumps(self.kept).encode()).hexdigest()[:16]

    def check(self, structure: Structure) -> None:
        """Raise UsageError unless the plan names exactly the groups of ``structure``, in range.

        A branch keeps its one unit or none, and then nothing in it is kept either.
        """
        unknown, missing = set(self) - set(structure.sizes), set(structure.sizes) - set(self)
        if unknown or missing:
            raise UsageError(
                "the plan belongs to another model: "
                + "; ".join(
                    f"{word} group {sorted(names)[0]!r}"
                    for word, names in (("unknown", unknown), ("missing", missing))
                    if names
                ),
                "make one with Plan.uniform(analyze(model, example_inputs), 0.5)",
            )
        may_go = {branch.name for branch in structure.branches}
        for branch in structure.branches:
            if not self.get(branch.name, 1):
                may_go |= {*branch.groups}
        for name, size in structure.sizes.items():
            if not (name not in may_go) <= self[name] <= size:
                raise UsageError(
                    f"the plan keeps {self[name]} of the {size} units of {name!r}",
                    f"keep between 1 and {size}" + ("" if self[name] else f"; {WHOLE}"),
                )
        if dict(self) != settled(structure, self):
            raise UsageError("the plan keeps units in a branch that it takes out", "keep 0 of them")

    def to_json(self) -> dict[str, int]:
        """Return a JSON-able object."""
        return dict(self.kept)

    @classmethod
    def from_json(cls, data: object) -> Plan:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        if not isinstance(data, dict) or not all(
            isinstance(name, str) and type(count) is int and count >= 0
            for name, count in data.items()
        ):
            raise DamagedError("not a plan: expected an object of group names and unit counts")
        return cls.of(data)
