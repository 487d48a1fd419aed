"""Plans scored as delivered: an evaluator that fits every network before it scores it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from autoprune.networks.score import measure
from autoprune.problem.evaluator import Evaluator, EvaluatorParts
from autoprune.problem.racing import RacingConfig
from autoprune.ranking.rank import rank
from autoprune.ranking.reconstruction import Reconstruction, ReconstructionConfig
from autoprune.structure.depth import deepened, settled
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

QUICK = ReconstructionConfig(rows=500)


@pytest.fixture(scope="module")
def deep(parts) -> EvaluatorParts:
    structure = deepened(parts.structure)
    samples = parts.calibration
    ranking = rank(parts.model, structure, "regression", task=parts.task, calibration=samples)
    return dataclasses.replace(parts, structure=structure, ranking=ranking, fit=QUICK)


def plans(structure):
    half = {group.name: max(1, group.size // 2) for group in structure.groups}
    names = [branch.name for branch in structure.branches]
    return [
        Plan.of(settled(structure, {**half, **dict.fromkeys(gone, 0)}))
        for gone in ((), names[:1], names)
    ]


def test_a_score_is_that_of_the_network_that_the_fit_delivers(deep):
    evaluator = Evaluator(
        dataclasses.replace(deep, racing=RacingConfig(least=len(deep.search))),
        precision="float32",
    )
    fit = Reconstruction(
        deep.model, Slicer(deep.model, deep.structure), deep.task, deep.calibration, QUICK
    )
    for plan in plans(deep.structure):
        found = evaluator(plan)
        net = fit(deep.ranking.kept(plan), deep.ranking.weights(plan))
        wanted = measure(net, deep.search, deep.task)
        assert found.score == pytest.approx(wanted.score, abs=1e-3)
        assert found.loss == pytest.approx(wanted.loss, rel=1e-3)


def test_evaluations_do_not_depend_on_each_other_and_leave_the_model_alone(deep):
    before = {name: value.clone() for name, value in deep.model.state_dict().items()}
    first, second = Evaluator(deep), Evaluator(deep)
    asked = plans(deep.structure)
    found = {plan: first(plan).loss for plan in asked}
    assert {plan: second(plan).loss for plan in reversed(asked)} == found
    for name, value in deep.model.state_dict().items():
        assert torch.equal(value, before[name])
