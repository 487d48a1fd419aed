"""Configuration of a training: schedules, lengths, ranges."""

import math

import pytest
import torch

from autoprune.data import load_data
from autoprune.data.classification import Classification
from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.training.loop import FitConfig, fit

TASK = Classification()


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def net(seed=0):
    torch.manual_seed(seed)
    return zoo.build("digits-resnet")


def trained(split, config, seed=0, **options):
    model = net(seed)
    fit(model, split, TASK, config, **options)
    return model


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_schedules(schedule):
    config = FitConfig(learning_rate=0.5, schedule=schedule)
    rates = [config.rate(step / 200) for step in range(201)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.5)
    assert peak == (50 if schedule == "one-cycle" else 0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.5 if schedule == "constant" else 0, abs=1e-12)


@pytest.mark.parametrize(
    "field",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"momentum": 1.5},
        {"weight_decay": -1},
        {"distill": 2},
        {"temperature": 0},
    ],
)
def test_settings_out_of_range(field):
    with pytest.raises(UsageError, match=next(iter(field))):
        FitConfig(**field)


def test_steps_replace_epochs_and_may_begin_late(digits):
    seen = []
    split, config = digits.train.take(200), FitConfig(steps=7, batch_size=50)
    trained(split, config, on_step=lambda done, total, loss: seen.append((done, total)))
    assert seen == [(step, 7) for step in range(1, 8)]
    seen.clear()
    late = FitConfig(steps=7, first=5, batch_size=50)
    trained(split, late, on_step=lambda done, total, loss: seen.append((done, total)))
    assert seen == [(6, 7), (7, 7)]
    with pytest.raises(UsageError, match="cannot begin after step 7 of 7"):
        trained(split, FitConfig(steps=7, first=7, batch_size=50))
