"""Score and loss of a network on a split."""

import pytest
import torch

from autoprune.data import load_data
from autoprune.data.task import Classification
from autoprune.networks import zoo
from autoprune.training.loop import measure

TASK = Classification()


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def net(seed=0):
    torch.manual_seed(seed)
    return zoo.build("digits-resnet")


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.values(), two.values(), strict=True))


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
