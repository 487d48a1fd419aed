"""Plans."""

import json

import pytest
import torch

from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan


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
