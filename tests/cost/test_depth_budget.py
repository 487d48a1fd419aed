"""Budgets of plans that may take out branches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.errors import InfeasibleError
from autoprune.structure import Structure
from autoprune.structure.table import BRANCH
from tests.synthetic import deep_structures, residual, staircase, with_branches


def branches_of(structure: Structure) -> list[str]:
    return [group.name for group in structure.groups if group.kind == BRANCH]


def bind(structure: Structure, text: str, seed: int = 0) -> BoundBudget:
    cost = CostModel(structure, latency=staircase(structure, seed))
    try:
        return Budget.parse(text).bind(cost)
    except InfeasibleError:
        return Budget.parse("1macs").bind(cost)


@settings(max_examples=60)
@given(deep_structures, st.data())
def test_without_some_branches_these_go_and_no_others(structure, data):
    bound = bind(structure, data.draw(st.sampled_from(["0.5macs", "0.6latency", "0.4params"])))
    gone = data.draw(st.sets(st.sampled_from(branches_of(structure))))
    part = bound.without(gone)
    for end in (part.smallest, part.largest):
        plan = part.cost.plan(end)
        for branch in structure.branches:
            whole = branch.name not in gone and gone.isdisjoint(branch.outer)
            assert plan[branch.name] == int(whole)
            assert whole or all(plan[name] == 0 for name in branch.groups)
    assert (part.smallest <= part.largest).all()


@settings(max_examples=60)
@given(deep_structures, st.sampled_from(["0.5macs", "0.05macs", "0.3latency"]))
def test_undivided_takes_out_no_branch_that_can_stay(structure, text):
    bound = bind(structure, text)
    whole = bound.without(())
    chosen = bound.undivided
    assert chosen.fits(chosen.smallest)
    if whole.fits(whole.smallest):
        assert chosen == whole
    else:
        assert any(bound.cost.plan(chosen.largest)[name] == 0 for name in branches_of(structure))


@pytest.mark.parametrize("nested", [False, True])
def test_a_cost_is_what_a_count_of_the_layers_left_says(nested):
    structure = with_branches([3, 4, 2], 5, nested=nested)
    plain = residual([3, 4, 2], 5)
    cost, dense = CostModel(structure), CostModel(plain)
    names = branches_of(structure)
    for picked in itertools.product((0, 1), repeat=len(names)):
        counts = dict(structure.sizes) | dict(zip(names, picked, strict=True))
        gone = {
            place
            for branch in structure.branches
            if not counts[branch.name] or any(not counts[name] for name in branch.outer)
            for place in branch.layers
        }
        left = sum(
            product(plain.sizes)
            for place, layer in enumerate(plain.layers)
            if place not in gone
            for product in layer.macs
        )
        plan = cost.plan(cost.counts(counts))
        assert cost.macs(plan) == left
        assert (cost.macs(plan) == dense.macs.dense) == (not gone)


@settings(max_examples=40)
@given(deep_structures, st.integers(0, 9), st.data())
def test_a_latency_leaves_out_the_tables_of_branches_that_are_gone(structure, seed, data):
    cost = staircase(structure, seed)
    counts = np.array([group.size for group in structure.groups], np.int64)
    names = [group.name for group in structure.groups]
    before = cost.at(counts)
    for name in data.draw(st.lists(st.sampled_from(branches_of(structure)), unique=True)):
        place = names.index(name)
        along = cost.along(counts, place, np.array([0, 1]))
        counts[place] = 0
        now = cost.at(counts)
        assert along[0] == now <= before == along[1]
        before = now
    again = type(cost).from_json(cost.to_json())
    assert again.at(counts) == cost.at(counts)
