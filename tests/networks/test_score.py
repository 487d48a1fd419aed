"""Score and loss of a network on a split."""

import pytest
import torch

from autoprune.data import load_data
from autoprune.data.classification import Classification
from autoprune.training.loop import measure
from tests.digits_net import equal, net, state

TASK = Classification()


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_measure_is_the_plain_mean(digits):
    model = net().train()
    before = state(model)
    some = digits.train.take(103)
    score, loss, _ = measure(model, some, TASK, batch_size=20)
    with torch.no_grad():
        batch = next(some.batches(103))
        outputs = model.eval()(batch[0])
    assert score == pytest.approx(float(TASK.score(outputs, batch).mean()))
    assert loss == pytest.approx(float(TASK.loss(outputs, batch)), rel=1e-5)
    assert equal(state(model), before)
