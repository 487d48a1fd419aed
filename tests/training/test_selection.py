"""Selection of the best weights: a training with validation never ends worse than it began."""

import math

import pytest
import torch
from torch import nn

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.runs.artifacts import Artifacts
from autoprune.training.checkpoint import FileCheckpoint
from autoprune.training.loop import Diverged, FitConfig, fit
from autoprune.training.pace import PaceConfig
from autoprune.training.selection import Selected

TASK = Classification()
CONFIG = FitConfig(epochs=3, batch_size=16, learning_rate=0.1, precision="float32")


@pytest.fixture
def split():
    make = torch.Generator().manual_seed(0)
    x = torch.randn(48, 4, generator=make)
    return Split((x, (x[:, 0] > 0).long()))


def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


def losses_of(*values):
    """Validation that says these losses, and keeps the weights that it saw."""
    said, seen = iter(values), []

    def validate(model):
        seen.append(weights(model))
        return next(said)

    return validate, seen


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        ((1.0, 2.0, 3.0, 4.0), 0),  # every epoch made it worse
        ((4.0, 1.0, 3.0, 2.0), 1),
        ((4.0, 3.0, 2.0, 1.0), 3),
        ((1.0, 1.0, 1.0, 1.0), 0),  # the earliest of equals
        ((2.0, math.nan, 1.0, math.inf), 2),
        ((math.nan, 5.0, 6.0, 5.0), 1),
    ],
)
def test_the_weights_of_least_loss_are_delivered(split, losses, epoch):
    validate, seen = losses_of(*losses)
    model = net()
    selected = fit(model, split, TASK, CONFIG, validate=validate)
    assert len(seen) == 4 and not equal(seen[0], seen[1])
    assert (selected.epoch, selected.improved) == (epoch, epoch > 0)
    assert equal(weights(model), seen[epoch])


def test_without_validation_the_last_epoch_is_delivered(split):
    free, watched = net(), net()
    assert fit(free, split, TASK, CONFIG) is None
    validate, _ = losses_of(4.0, 3.0, 2.0, 1.0)
    fit(watched, split, TASK, CONFIG, validate=validate)
    assert equal(weights(free), weights(watched))


def test_a_training_that_diverges_leaves_the_best_weights(split):
    validate, seen = losses_of(1.0, 0.5, 0.7, 0.6)
    model = net()

    def explode(step, total, loss):
        if step == 8:  # in the third epoch
            model[0].weight.data.fill_(math.nan)

    with pytest.raises(Diverged):
        fit(model, split, TASK, CONFIG, validate=validate, on_step=explode)
    assert equal(weights(model), seen[1])


@pytest.mark.parametrize("killed", [1, 3, 4, 8, 9])
def test_a_killed_training_chooses_as_one_that_was_not(split, killed, tmp_path):
    def validate(model):
        """Loss that is least after the first epoch: how far the bias is from where it was then."""
        with torch.no_grad():
            return float((model[2].bias - target).abs().sum())

    target = torch.zeros(2)
    fit(first := net(), split, TASK, FitConfig(epochs=3, batch_size=16, learning_rate=0.1))
    target = first[2].bias.detach().clone()
    whole = net()
    chosen = fit(whole, split, TASK, CONFIG, validate=validate)

    class Killed(BaseException):
        pass

    def die(step, total, loss):
        if step == killed:
            raise Killed

    eager = PaceConfig(save_every=0.0, save_share=1e9)
    with pytest.raises(Killed):
        checkpoint = FileCheckpoint(Artifacts(tmp_path), "it", eager)
        fit(net(), split, TASK, CONFIG, validate=validate, on_step=die, checkpoint=checkpoint)
    model = net()
    checkpoint = FileCheckpoint(Artifacts(tmp_path), "it", eager)
    assert fit(model, split, TASK, CONFIG, validate=validate, checkpoint=checkpoint) == chosen
    assert equal(weights(model), weights(whole))
    # One that had ended says the same again without a step.
    again = net()
    checkpoint = FileCheckpoint(Artifacts(tmp_path), "it", eager)
    assert fit(again, split, TASK, CONFIG, validate=validate, checkpoint=checkpoint) == chosen
    assert equal(weights(again), weights(whole))


def test_a_state_without_a_choice_is_another_trainings(split, tmp_path):
    eager = PaceConfig(save_every=0.0, save_share=1e9)
    fit(net(), split, TASK, CONFIG, checkpoint=FileCheckpoint(Artifacts(tmp_path), "it", eager))
    validate, seen = losses_of(4.0, 3.0, 2.0, 1.0)
    checkpoint = FileCheckpoint(Artifacts(tmp_path), "it", eager)
    assert fit(net(), split, TASK, CONFIG, validate=validate, checkpoint=checkpoint).epoch == 3
    assert len(seen) == 4


def test_the_choice_is_the_earliest_of_equals():
    assert Selected((2.0, 1.0, 1.0)).epoch == 1
    assert not Selected((1.0, 1.0)).improved
