"""Budgets bound to a model: walks, top-up, uniform plans."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.cost.polynomial import Polynomial
from autoprune.errors import InfeasibleError, UsageError
from autoprune.structure.plan import Plan
from autoprune.structure.table import BRANCH
from tests.synthetic import chain, deep_structures, residual, staircase, structures


def test_flops_are_two_macs():
    cost = CostModel(chain([16, 16]))
    assert Budget.parse("0.5flops").bind(cost).limits == Budget.parse("0.5macs").bind(cost).limits
    assert Budget.parse("81kflops").bind(cost).limits == {"macs": 40_500}


def test_the_same_cost_twice_takes_the_tighter():
    cost = CostModel(chain([16, 16]))
    assert Budget.parse("0.5flops,0.4macs").bind(cost).limits == {
        "macs": int(Fraction(2, 5) * cost.macs.dense)
    }


def test_unreachable_names_a_minimum_that_works():
    cost = CostModel(residual([16, 16], 32))
    with pytest.raises(InfeasibleError, match="cannot go below") as caught:
        Budget.parse("1e-5flops").bind(cost)
    least = caught.value.hint.removeprefix("ask for at least ")
    bound = Budget.parse(least).bind(cost)
    assert bound.met(bound.uniform())
    with pytest.raises(InfeasibleError):
        Budget.parse(least).bind(cost, align=8)


def test_align_must_be_positive():
    with pytest.raises(UsageError, match="align"):
        Budget.parse("0.5flops").bind(CostModel(chain([4])), align=0)


@pytest.mark.parametrize("text", ["1flops", "9Gmacs", "1flops,1params"])
def test_a_budget_above_dense_keeps_everything(text):
    structure = chain([4, 6, 5])
    bound = Budget.parse(text).bind(CostModel(structure), align=4)
    prefix = []
    for group in structure.groups:
        assert bound.interval(prefix) == (group.size, group.size)
        prefix.append(group.size)
    assert bound.uniform() == Plan.dense(structure)


@st.composite
def bound_budgets(draw):
    """A random network, its budget over one or two costs, feasible, at a random alignment."""
    structure = draw(st.one_of(structures, deep_structures))
    cost = CostModel(structure, latency=staircase(structure, draw(st.integers(0, 99))))
    align = draw(st.sampled_from([1, 1, 2, 4, 8]))
    units = draw(
        st.lists(st.sampled_from(["macs", "params", "bytes", "latency"]), min_size=1, max_size=2)
    )
    terms = [f"{draw(st.integers(5, 100)) / 100}{unit}" for unit in units]
    budget = Budget.parse(",".join(terms))
    try:
        return budget.bind(cost, align)
    except InfeasibleError:
        return Budget.parse(",".join("1" + unit for unit in units)).bind(cost, align)


def step_up(bound, counts, group):
    """``counts`` with one step more of ``group``; None if it is whole."""
    choices = bound.choices[group].tolist()
    position = choices.index(counts[group])
    if position + 1 == len(choices):
        return None
    return [*counts[:group], choices[position + 1], *counts[group + 1 :]]


def maximal(bound, counts):
    steps = [step_up(bound, counts, group) for group in range(len(counts))]
    return not any(step is not None and bound.fits(np.array(step)) for step in steps)


@settings(max_examples=150)
@given(bound_budgets(), st.data())
def test_every_walk_lands_on_the_budget(bound, data):
    prefix = []
    for choices in bound.choices:
        lo, hi = bound.interval(prefix)
        assert lo <= hi and lo in choices and hi in choices
        allowed = [int(k) for k in choices if lo <= k <= hi]
        prefix.append(data.draw(st.sampled_from(allowed)))
    assert bound.fits(np.array(prefix))
    lost = [g for g in range(len(prefix)) if prefix[g] < bound.choices[g][-1]]
    if lost:
        # The last group that lost units could not take one step more: within one quantum.
        assert not bound.fits(np.array(step_up(bound, prefix, lost[-1])))


@settings(max_examples=150)
@given(bound_budgets(), st.data())
def test_the_interval_is_neither_too_wide_nor_too_narrow(bound, data):
    """Compare with enumeration: hi is the most that leaves a plan, lo wastes nothing."""
    groups = len(bound.choices)
    prefix = []
    for choices in bound.choices[: data.draw(st.integers(0, groups - 1))]:
        lo, hi = bound.interval(prefix)
        prefix.append(data.draw(st.sampled_from([int(k) for k in choices if lo <= k <= hi])))
    group = len(prefix)
    rest = slice(group + 1, None)
    fits = {
        end: [
            int(k)
            for k in bound.choices[group]
            if bound.fits(np.array([*prefix, k, *getattr(bound, end)[rest]], np.int64))
        ]
        for end in ("smallest", "largest")
    }
    expected = (max(fits["largest"], default=int(bound.choices[group][0])), max(fits["smallest"]))
    assert bound.interval(prefix) == expected


@settings(max_examples=100)
@given(bound_budgets(), st.randoms(use_true_random=False))
def test_top_up_is_maximal_and_every_maximal_plan_is_reachable(bound, random):
    names = [group.name for group in bound.cost.structure.groups]
    order = {name: random.random() for name in names}
    start = bound.cost.plan(bound.smallest)
    for plan in (bound.top_up(start), bound.top_up(start, lambda name, _: order[name])):
        counts = bound.cost.counts(plan).tolist()
        assert bound.met(plan) and maximal(bound, counts)
        for group in range(len(counts)):
            lo, hi = bound.interval(counts[:group])
            assert lo <= counts[group] <= hi


@settings(max_examples=100)
@given(bound_budgets())
def test_uniform_is_maximal_and_near_one_fraction(bound):
    plan = bound.uniform()
    counts = bound.cost.counts(plan).tolist()
    assert bound.met(plan) and maximal(bound, counts)


def test_uniform_is_even():
    bound = Budget.parse("0.5flops").bind(CostModel(chain([64, 128, 64, 256, 64])))
    fractions = [
        count / size for count, size in zip(bound.uniform().values(), bound.largest, strict=True)
    ]
    assert max(fractions) - min(fractions) < 0.03
    assert 0.99 < bound.cost.macs(bound.uniform()) / bound.limits["macs"] <= 1


def test_top_up_refuses_what_it_cannot_grow():
    bound = Budget.parse("0.5flops").bind(CostModel(chain([16, 16])), align=4)
    with pytest.raises(ValueError, match="over the budget"):
        bound.top_up({"c0": 16, "c1": 16})
    with pytest.raises(ValueError, match="multiples"):
        bound.top_up({"c0": 3, "c1": 4})


@settings(max_examples=100)
@given(bound_budgets())
def test_continuation_spends_the_budget(bound):
    fraction = bound.uniform_rest([])
    start, most = 0 * bound.largest, bound.undivided.largest
    branches = [group.kind == BRANCH for group in bound.cost.structure.groups]
    start[branches] = most[branches]
    most = most - start
    if fraction == 1:
        assert bound.fits(start + most)
        return
    spent = []
    for item in bound.constraints:
        if isinstance(item.cost, Polynomial):
            line = item.cost.line(start, most)
            spent.append(np.polyval(line[::-1], fraction) / item.bound)
        else:  # whole units only, so the next of them must not fit
            further = start + np.floor((fraction + 1 / 1000) * most).astype(np.int64)
            spent.append(1.0 if item.cost.at(further) > item.bound else 0.0)
    if fraction > 1e-9:
        assert abs(max(spent) - 1) < 1e-6


def test_milliseconds_and_fractions_of_a_latency():
    structure = chain([16, 16])
    cost = CostModel(structure, latency=staircase(structure, 0))
    dense = cost.latency.dense
    assert Budget.parse("0.5latency").bind(cost).limits == {"latency": dense // 2}
    assert Budget.parse("0.002ms").bind(cost).limits == {"latency": 2000}
    both = Budget.parse("0.9flops,0.9latency").bind(cost)
    assert both.limits.keys() == {"macs", "latency"} and both.met(both.uniform())
    assert str(Budget.parse("0.25ms,0.5latency")) == "0.25ms,0.5latency"


@pytest.mark.parametrize("text", ["1e-5ms", "0.001latency"])
def test_an_unreachable_latency_names_a_minimum_that_works(text):
    structure = chain([16, 16])
    cost = CostModel(structure, latency=staircase(structure, 0))
    with pytest.raises(
        InfeasibleError, match=r"cannot go below .*ms, 0\.\d+ of the dense"
    ) as caught:
        Budget.parse(text).bind(cost, align=4)
    least = caught.value.hint.removeprefix("ask for at least ")
    bound = Budget.parse(least).bind(cost, align=4)
    assert bound.met(bound.uniform())


def test_a_latency_that_was_not_measured_is_no_budget():
    with pytest.raises(UsageError, match="latency of this network is not known"):
        Budget.parse("0.5latency").bind(CostModel(chain([4])))


def test_every_group_may_have_its_own_step():
    bound = Budget.parse("1flops").bind(CostModel(chain([16, 6])), (8, 2))
    assert [list(choices) for choices in bound.choices] == [[8, 16], [2, 4, 6]]


@given(st.integers(0, 50), st.data())
def test_nearest_is_the_nearest_allowed_count(units, data):
    bound = Budget.parse("0.9flops").bind(CostModel(chain([37, 5])), align=4)
    choices = bound.choices[0].tolist()
    lo, hi = sorted(data.draw(st.tuples(st.sampled_from(choices), st.sampled_from(choices))))
    units += data.draw(st.floats(-0.5, 0.5))
    inside = [k for k in choices if lo <= k <= hi]
    found = bound.round_count(0, units, lo, hi)
    assert found in inside and abs(found - units) == min(abs(k - units) for k in inside)
