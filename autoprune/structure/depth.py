"""Depth as a decision: every branch a group of one unit, which stays or goes with all in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autoprune.structure.table import BRANCH, Branch, Extent, Group, Product, Structure, TensorInfo


def deepened(structure: Structure) -> Structure:
    """Return the structure with a group for each branch, before the first group in it.

    Every cost then counts what goes with a branch, and the constant that it leaves. A structure
    that has such groups, or no branches, is returned as it is.
    """
    if not structure.branches or any(group.kind == BRANCH for group in structure.groups):
        return structure
    within = {branch.name: Extent(0, ((branch.name, 1),)) for branch in structure.branches}
    holders: dict[str, list[Extent]] = {}
    layers = list(structure.layers)
    for branch in structure.branches:
        for name in branch.tensors:
            holders.setdefault(name, []).append(within[branch.name])
        for place in branch.layers:
            layer = layers[place]
            here = within[branch.name]
            layers[place] = replace(
                layer,
                macs=tuple(Product(one.factor, (*one.extents, here)) for one in layer.macs),
                within=(*layer.within, here),
            )
    tensors = [
        replace(item, within=tuple(holders.get(item.name, ()))) for item in structure.tensors
    ]
    return replace(
        structure,
        groups=_with_branches(structure),
        layers=tuple(layers),
        tensors=(*tensors, *(_constant(structure, branch) for branch in structure.branches)),
        slices={**structure.slices, **dict.fromkeys(within, ())},
    )


def optional(structure: Structure) -> tuple[Branch, ...]:
    """Return the branches that a plan may take out: none unless the structure is ``deepened``."""
    return tuple(branch for branch in structure.branches if branch.name in structure.sizes)


def _with_branches(structure: Structure) -> tuple[Group, ...]:
    """Put each branch before the first of the groups that go with it, outer ones first."""
    groups: list[Group] = []
    first = {name: place for place, name in enumerate(structure.sizes)}
    last = len(structure.groups)

    def place(branch: Branch) -> int:
        return min((first[name] for name in branch.groups), default=last)

    for index, group in enumerate((*structure.groups, None)):
        here = [branch for branch in structure.branches if place(branch) == index]
        groups.extend(Group(branch.name, 1, BRANCH) for branch in here)
        if group is not None:
            groups.append(group)
    return tuple(groups)


def _constant(structure: Structure, branch: Branch) -> TensorInfo:
    """Describe the constant that a branch leaves, unless it goes with another one."""
    terms = tuple((name, index.shape[1]) for name, index in branch.units)
    fixed = branch.size - sum(index.numel() for _, index in branch.units)
    itemsize = next(one.itemsize for one in structure.tensors if one.name in branch.tensors)
    gone = Extent(1, ((branch.name, -1),))
    around = tuple(Extent(0, ((name, 1),)) for name in branch.outer)
    return TensorInfo(
        branch.removal.constant, True, itemsize, (Extent(fixed, terms),), (gone, *around)
    )


def removed(structure: Structure, kept: Mapping[str, int]) -> tuple[Branch, ...]:
    """Return the branches that a plan takes out, those left out that go with another one."""
    gone = {branch.name for branch in structure.branches if kept.get(branch.name, 1) == 0}
    return tuple(
        branch
        for branch in structure.branches
        if branch.name in gone and gone.isdisjoint(branch.outer)
    )


def settled(structure: Structure, kept: Mapping[str, int]) -> dict[str, int]:
    """Return counts of which those that are not decided follow from the others.

    Where a branch goes, all in it goes; a branch all of whose groups keep nothing goes; one that is
    not named stays. Without branches in ``structure`` nothing changes.
    """
    counts = dict(kept)
    if not any(group.kind == BRANCH for group in structure.groups):
        return counts
    for branch in structure.branches:
        own = [counts.get(name) for name in branch.groups]
        whole = not (own and all(count == 0 for count in own))
        counts.setdefault(branch.name, int(whole))
    for branch in structure.branches:  # outer ones first
        if counts[branch.name] == 0:
            parts = [one.name for one in structure.branches if branch.name in one.outer]
            counts |= dict.fromkeys([*parts, *branch.groups], 0)
    return counts
