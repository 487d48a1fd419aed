"""Costs as polynomials of the plan."""

from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from autoprune.cost.model import CostModel
from autoprune.structure.plan import Plan
from autoprune.structure.table import Extent, Group, Layer, Product, Structure, TensorInfo
from tests.synthetic import residual, structures


@st.composite
def planned(draw):
    structure = draw(structures)
    return structure, Plan.of({g.name: draw(st.integers(1, g.size)) for g in structure.groups})


@given(planned())
def test_costs_equal_the_sum_over_layers_and_tensors(drawn):
    structure, plan = drawn
    cost = CostModel(structure)
    assert cost.macs(plan) == sum(p(plan) for layer in structure.layers for p in layer.macs)
    assert cost.flops(plan) == 2 * cost.macs(plan)
    assert cost.parameters(plan) == sum(
        info.numel(plan) for info in structure.tensors if info.is_parameter
    )
    assert cost.bytes(plan) == sum(info.numel(plan) * info.itemsize for info in structure.tensors)


@given(planned(), st.data())
def test_vector_forms_equal_single_evaluations(drawn, data):
    structure, plan = drawn
    counts = CostModel(structure).counts(plan)
    group = data.draw(st.integers(0, len(counts) - 1))
    candidates = np.arange(1, structure.groups[group].size + 1)
    plans = np.tile(counts, (len(candidates), 1))
    plans[:, group] = candidates
    for cost in (CostModel(structure).macs, CostModel(structure).bytes):
        expected = [cost.at(row) for row in plans]
        assert cost.along(counts, group, candidates).tolist() == expected
        assert cost.many(plans).tolist() == expected


@given(planned(), st.data())
def test_replacing_one_group_of_each_equals_single_evaluations(drawn, data):
    structure, plan = drawn
    counts = CostModel(structure).counts(plan)
    rows = [[data.draw(st.integers(0, g.size)) for g in structure.groups] for _ in range(3)]
    for cost in (CostModel(structure).macs, CostModel(structure).bytes):
        for row, found in zip(rows, cost.beside(counts, np.array(rows)), strict=True):
            for group, count in enumerate(row):
                moved = counts.copy()
                moved[group] = count
                assert found[group] == cost.at(moved)


@given(planned(), st.data())
def test_replacing_two_groups_equals_single_evaluations(drawn, data):
    structure, plan = drawn
    counts = CostModel(structure).counts(plan)
    size = len(structure.groups)
    assume(size > 1)
    pairs = [(a, b) for a in range(size) for b in range(size) if a != b]
    chosen = data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=4))
    wanted = [[data.draw(st.integers(0, structure.groups[g].size)) for g in c] for c in chosen]
    for cost in (CostModel(structure).macs, CostModel(structure).bytes):
        found = cost.pairs(counts, np.array(chosen), np.array(wanted))
        for pair, new, price in zip(chosen, wanted, found, strict=True):
            moved = counts.copy()
            moved[list(pair)] = new
            assert price == cost.at(moved)


def test_costs_beyond_what_floats_hold_stay_exact():
    cost = CostModel(residual([5, 7], 8)).macs
    huge = replace(cost, factors=cost.factors * (2**45 + 1))
    assert huge.many(huge.sizes[None] - 1)[0] == huge.at(huge.sizes - 1)
    assert huge.at(huge.sizes - 1) == cost.at(cost.sizes - 1) * (2**45 + 1)


def test_a_group_at_both_ends_of_a_product_is_quadratic():
    structure = residual([5, 7], 8)
    cost = CostModel(structure).macs
    mix = [cost.line(np.array([0, 5, 7]), np.array([1, 0, 0]))]
    assert mix[0].tolist() == [0, 64 * 9 * 3 + 2 * 64 * 9 * 12 + 40, 64]


def test_products_of_three_extents_and_constants():
    extent = Extent(2, (("a", 3),))
    structure = Structure(
        groups=(Group("a", 4, "parameter"),),
        pinned=(),
        layers=(
            Layer("m", "attention", None, (Product(5, (extent, extent, Extent(7), extent)),)),
            Layer("n", "conv", None, (Product(11, (Extent(2),)),)),
        ),
        slices={"a": ()},
        tensors=(),
        aliases={},
        widths={},
    )
    cost = CostModel(structure)
    assert [cost.macs({"a": k}) for k in (1, 4)] == [35 * 5**3 + 22, 35 * 14**3 + 22]
    assert cost.parameters({"a": 2}) == 0
    assert cost.macs.line(np.array([0]), np.array([1])).sum() == cost.macs({"a": 1})


def test_imagenet_sized_costs_do_not_overflow():
    extents = tuple(Extent(0, ((name, 1),)) for name in "ab")
    structure = Structure(
        groups=(Group("a", 8192, "linear"), Group("b", 32768, "linear")),
        pinned=(),
        layers=(Layer("m", "linear", None, (Product(2**20 + 1, extents),)),),
        slices={"a": (), "b": ()},
        tensors=(TensorInfo("w", True, 4, extents),),
        aliases={},
        widths={},
    )
    cost = CostModel(structure).macs
    assert cost.dense == (2**20 + 1) * 8192 * 32768
    odd = np.array([8191, 1])
    assert cost.along(odd, 1, np.array([32767])).tolist() == [(2**20 + 1) * 8191 * 32767]


@given(structures)
def test_shares_are_what_removing_the_group_saves(structure):
    cost = CostModel(structure)
    for index, group in enumerate(structure.groups):
        without = {**structure.sizes, group.name: 0}
        saved = cost.macs.dense - cost.macs(without)
        assert abs(cost.macs.shares[index] - saved / cost.macs.dense) < 1e-12


@given(planned())
def test_counts_and_plan_are_inverse(drawn):
    structure, plan = drawn
    cost = CostModel(structure)
    assert cost.plan(cost.counts(plan)) == plan
