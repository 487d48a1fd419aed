"""Training loop."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from autoprune.data import Split, load_data
from autoprune.data.classification import Classification
from autoprune.errors import AutopruneError, UsageError
from autoprune.networks import zoo
from autoprune.training.loop import FitConfig, fit, measure
from tests.digits_net import equal, net, state

TASK = Classification()


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def trained(split, config, seed=0, **options):
    model = net(seed)
    fit(model, split, TASK, config, **options)
    return model


def test_digits_are_learnt(digits):
    config = FitConfig(epochs=12, batch_size=64)
    model = trained(digits.train, config)
    assert measure(model, digits.test, TASK).score >= 0.97


def test_the_seed_decides_everything(digits):
    some = digits.train.take(200)
    config = FitConfig(epochs=2, batch_size=50)
    noise = torch.random.get_rng_state()
    first = state(trained(some, config))
    torch.manual_seed(99)
    assert equal(first, state(trained(some, config)))
    assert not equal(first, state(trained(some, FitConfig(epochs=2, batch_size=50, seed=1))))
    torch.random.set_rng_state(noise)


def test_dropout_follows_the_seed_and_leaves_the_generator_alone(digits):
    def run():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
        before = torch.random.get_rng_state()
        fit(model, digits.train.take(100), TASK, FitConfig(epochs=1))
        assert torch.equal(torch.random.get_rng_state(), before)
        return state(model)

    assert equal(run(), run())


def test_masked_weights_and_momenta_stay_exactly_zero(digits, monkeypatch):
    model = net()
    masks = {
        name: torch.rand_like(value) < 0.5
        for name, value in model.named_parameters()
        if value.ndim > 1
    }
    optimizers = []
    start = FitConfig.start
    monkeypatch.setattr(
        FitConfig, "start", lambda self, net: optimizers.append(start(self, net)) or optimizers[-1]
    )
    parameters = dict(model.named_parameters())

    def look(step, total, loss):
        for name, mask in masks.items():
            assert parameters[name][~mask].eq(0).all()
            assert optimizers[0].state[parameters[name]]["momentum_buffer"][~mask].eq(0).all()

    fit(model, digits.train.take(200), TASK, FitConfig(epochs=2), masks=masks, on_step=look)
    assert all((parameters[name][mask] != 0).any() for name, mask in masks.items())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_mask_trains_what_is_left_like_the_smaller_network(optimizer):
    """Two hidden neurons masked away: the rest must move as if they had never been there."""
    torch.manual_seed(0)
    big = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4))
    small = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 4))
    rows = torch.tensor([0, 2, 3])
    with torch.no_grad():
        small[0].weight.copy_(big[0].weight[rows])
        small[0].bias.copy_(big[0].bias[rows])
        small[2].weight.copy_(big[2].weight[:, rows])
        small[2].bias.copy_(big[2].bias)
    keep = torch.zeros(5, dtype=torch.bool)
    keep[rows] = True
    masks = {
        "0.weight": keep[:, None].expand(5, 3),
        "0.bias": keep,
        "2.weight": keep[None].expand(4, 5),
    }
    split = Split((torch.randn(64, 3), torch.randint(4, (64,))))
    config = FitConfig(epochs=3, batch_size=16, learning_rate=0.01, optimizer=optimizer)
    fit(big, split, TASK, config, masks=masks)
    fit(small, split, TASK, config)
    torch.testing.assert_close(big[0].weight[rows], small[0].weight)
    torch.testing.assert_close(big[2].weight[:, rows], small[2].weight)


def test_masks_that_do_not_fit(digits):
    with pytest.raises(UsageError, match="'gone' fits no parameter"):
        trained(digits.train, FitConfig(), masks={"gone": torch.ones(1)})
    with pytest.raises(UsageError, match=r"'conv1.weight' has shape \[3\], the parameter \[16, 1"):
        trained(digits.train, FitConfig(), masks={"conv1.weight": torch.ones(3)})


class Poisoned(Classification):
    """The loss becomes NaN from the third epoch on."""

    calls = 0

    def loss(self, outputs, batch):
        Poisoned.calls += 1
        return super().loss(outputs, batch) * (math.nan if Poisoned.calls > 5 else 1)


def test_a_nan_loss_rolls_back_to_the_last_good_epoch(digits):
    some, model, good = digits.train.take(100), net(), []
    Poisoned.calls = 0
    with pytest.raises(AutopruneError, match="the loss became nan in step 6 of 8") as caught:
        fit(
            model,
            some,
            Poisoned(),
            FitConfig(epochs=4, batch_size=50),
            on_epoch=lambda *_: good.append(state(model)),
        )
    assert len(good) == 2 and equal(state(model), good[-1])
    assert "\n" not in str(caught.value)


def test_a_weight_that_explodes_in_the_last_step_is_noticed():
    model = nn.Linear(2, 2)
    before = state(model)
    split = Split((torch.randn(4, 2), torch.tensor([0, 1, 0, 1])))
    config = FitConfig(epochs=1, learning_rate=3e38, weight_decay=1e38, schedule="constant")
    with pytest.raises(AutopruneError, match="weight became NaN or infinite in step 1 of 1"):
        fit(model, split, TASK, config)
    assert equal(state(model), before)


def test_progress_is_reported(digits):
    steps, epochs = [], []
    trained(
        digits.train.take(100),
        FitConfig(epochs=2, batch_size=30),
        on_step=lambda *values: steps.append(values),
        on_epoch=lambda *values: epochs.append(values),
    )
    assert [step for step, _, _ in steps] == list(range(1, 9))
    assert {total for _, total, _ in steps} == {8}
    assert [done for done, _, _ in epochs] == [1, 2]
    assert epochs[0][2] == pytest.approx(sum(loss for _, _, loss in steps[:4]) / 4)


def test_frozen_parameters_and_modes_stay(digits):
    model = net()
    model.eval()
    model.bn1.train()
    model.conv1.weight.requires_grad_(False)
    frozen = model.conv1.weight.clone()
    fit(model, digits.train.take(64), TASK, FitConfig(epochs=1))
    assert torch.equal(model.conv1.weight, frozen)
    assert not model.training and model.bn1.training
    assert model.layer1[0].conv1.weight.is_contiguous()


def test_a_model_without_anything_to_train(digits):
    with pytest.raises(UsageError, match="no parameter to train"):
        fit(net().requires_grad_(False), digits.train, TASK, FitConfig())


def test_distillation_pulls_towards_the_teacher(digits):
    teacher = trained(digits.train, FitConfig(epochs=6, batch_size=64))
    kept = state(teacher)
    some = digits.train.take(300)
    wrong = Split((some.content[0], (some.content[1] + 1) % 10), some.form)
    config = FitConfig(epochs=6, batch_size=64, distill=1.0)
    student = trained(wrong, config, seed=1, teacher=teacher)
    assert measure(student, digits.search, TASK).score > 0.5  # the labels alone would give 0
    assert equal(state(teacher), kept) and teacher.training
    with pytest.raises(UsageError, match="needs a teacher"):
        trained(some, config)


def test_label_smoothing_needs_a_task_that_has_it(digits):
    class Other:
        name = "other"
        inputs, loss, score = TASK.inputs, TASK.loss, TASK.score

    some, config = digits.train.take(64), FitConfig(epochs=1, label_smoothing=0.1)
    plain = trained(some, FitConfig(epochs=1))
    assert not equal(state(plain), state(trained(some, config)))
    with pytest.raises(UsageError, match="task 'other' has no label smoothing"):
        fit(net(), some, Other(), config)


def test_a_failing_step_is_one_line():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))
    split = Split((torch.randn(5, 4), torch.arange(5) % 4))
    with pytest.raises(UsageError, match="training fails in step 1: ValueError: Expected more"):
        fit(model, split, TASK, FitConfig(batch_size=1))


def test_odd_last_batches_do_not_break_batch_norm():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))
    split = Split((torch.randn(9, 4), torch.arange(9) % 4))
    fit(model, split, TASK, FitConfig(epochs=1, batch_size=4))


def test_bfloat16_learns_too():
    torch.manual_seed(0)
    images = torch.randn(64, 3, 16, 16)
    images[32:] += 1
    split = Split((images, torch.arange(64) // 32))
    model = zoo.build("resnet20", classes=2)
    fit(model, split, TASK, FitConfig(epochs=8, batch_size=16, precision="bfloat16"))
    assert measure(model, split, TASK).score > 0.9
    assert model.conv1.weight.dtype == torch.float32 and model.conv1.weight.is_contiguous()


def test_a_late_start_goes_on_with_the_same_data_and_rates(digits):
    """Plain gradient descent has no state but the weights, so two halves make the whole."""
    split = digits.train.take(200)
    plain = FitConfig(steps=7, batch_size=50, momentum=0, augment=False, label_smoothing=0)
    torch.manual_seed(0)
    model = zoo.build("lenet-300-100", size=8)
    halves = {}

    def keep(done, total, loss):
        if done == 5:
            halves.update(state(model))

    fit(model, split, TASK, plain, on_step=keep)
    whole = state(model)
    model.load_state_dict(halves)
    fit(model, split, TASK, replace(plain, first=5))
    assert equal(state(model), whole)


@pytest.mark.parametrize(("epochs", "rounds"), [(10, 20), (2, 5), (1, 2), (1, 20), (3, 1)])
def test_the_rounds_of_a_gradual_pruning_share_the_steps_of_one_training(epochs, rounds):
    samples, config = 1000, FitConfig(epochs=epochs, batch_size=50)
    parts = [config.part(number, rounds, samples) for number in range(1, rounds + 1)]
    lengths = [part.length(samples) - part.first for part in parts]
    assert all(length >= 1 for length in lengths)
    total = config.length(samples)
    if total // 2 >= rounds - 1:
        assert sum(lengths) == total
    assert lengths[-1] >= total // 2
    assert parts[-1].rate(0.0) == config.learning_rate and parts[-1].rate(1.0) == 0.0
    assert all(part.rate(0.9) == config.learning_rate for part in parts[:-1])
    for before, after in pairwise(parts[:-1]):
        assert after.first in (before.steps, before.steps - 1)
