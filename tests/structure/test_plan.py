"""Plans."""

import json

import pytest
import torch

from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from tests.synthetic import residual, with_branches


@pytest.mark.parametrize("keep", [0, -0.5, 1.5, float("nan")])
def test_uniform_refuses_fractions_outside_its_range(keep: float) -> None:
    structure = analyze(zoo.build("digits-resnet"), torch.randn(2, 1, 8, 8))
    with pytest.raises(UsageError, match="keep_fraction"):
        Plan.uniform(structure, keep)


def test_plan_is_a_hashable_mapping_that_survives_json() -> None:
    plan = Plan.of({"b": 3, "a": 5})
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan and hash(again) == hash(plan) and again.key == plan.key
    assert dict(plan) == {"b": 3, "a": 5} and plan.key != Plan.of({"b": 3, "a": 4}).key


def test_plan_must_fit_the_structure() -> None:
    structure = analyze(zoo.build("digits-resnet"), torch.randn(2, 1, 8, 8))
    plan = dict(Plan.uniform(structure, 0.5))
    name = next(iter(plan))
    for wrong in ({**plan, name: 0}, {**plan, name: 10**6}, {**plan, "other": 1}, {name: 1}):
        with pytest.raises(UsageError):
            Plan.of(wrong).check(structure)


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ({"block1": 0}, {"block1"}),
        ({"inner1": 0}, {"block1"}),
        ({"block*": 0}, {"block0", "block1", "block2"}),
        ({"outer": 0}, {"outer", "block0", "block1"}),
        ({"inner0": 0, "inner1": 0}, {"outer", "block0", "block1"}),
        ({"outer": 0, "stream": 0.5}, {"outer", "block0", "block1"}),
        ({"block1": 0, "block*": 1}, set()),
    ],
)
def test_nothing_of_a_branch_takes_it_out_with_all_in_it(asked, gone) -> None:
    structure = with_branches([3, 4, 5], 6, nested=True)
    plan = Plan.of_layers(structure, asked)
    assert {branch.name for branch in structure.branches if not plan[branch.name]} == gone
    for branch in structure.branches:
        if branch.name in gone:
            assert all(plan[name] == 0 for name in branch.groups)
    assert plan["inner2"] == (0 if "block2" in gone else 5)
    assert Plan.of_layers(structure, plan) == plan
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("asked", [{"stream": 0}, {"a0.weight": 0, "stream": 0}])
def test_nothing_of_what_is_no_branch_is_refused(asked) -> None:
    with pytest.raises(UsageError, match=r"keeps 0 of the 6 units of 'stream'.*--depth auto"):
        Plan.of_layers(with_branches([3, 4], 6), asked)
    with pytest.raises(UsageError, match=r"the plan keeps nothing of .*--depth auto"):
        Plan.of_layers(residual([3, 4], 6), asked)


def test_a_plan_that_keeps_units_in_a_branch_that_is_gone_is_refused() -> None:
    structure = with_branches([3, 4], 6)
    plan = Plan.of({**structure.sizes, "block0": 0})
    with pytest.raises(UsageError, match="keeps units in a branch that it takes out"):
        plan.check(structure)
