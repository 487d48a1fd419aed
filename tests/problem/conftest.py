"""Evaluator of a small network whose split is large enough for races."""

import pytest
import torch

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.networks import zoo
from autoprune.problem.evaluator import EvaluatorParts
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze

TASK = Classification()


@pytest.fixture(scope="module")
def parts():
    """Parts of an evaluator: a small network, and 2,200 images labeled by it."""
    torch.manual_seed(0)
    model = zoo.build("digits-resnet").eval()
    x = torch.randn(2200, 1, 8, 8) + torch.linspace(-1, 1, 2200).view(-1, 1, 1, 1)
    with torch.no_grad():
        y = model(x).argmax(1)
    structure = analyze(model, x[:2])
    calibration = Split((x[::9], y[::9]))
    ranking = rank(model, structure, "regression", task=TASK, calibration=calibration)
    return EvaluatorParts(model, structure, ranking, TASK, Split((x, y)), calibration)
