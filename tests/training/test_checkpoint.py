"""Checkpoints: killed trainings end bit for bit like whole ones."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, WeightedRandomSampler

from autoprune.data import Split, load_data
from autoprune.data.classification import Classification
from autoprune.errors import DamagedError
from autoprune.networks import zoo
from autoprune.runs.artifacts import Artifacts
from autoprune.training.checkpoint import FileCheckpoint, discard
from autoprune.training.loop import Diverged, FitConfig, fit
from autoprune.training.pace import PaceConfig
from tests.augmenting import Noisy

TASK = Classification()
EAGER = PaceConfig(save_every=0.0, save_share=1e9)
"""States are saved after every step, whatever that costs."""


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@pytest.fixture(scope="module")
def digits():
    return load_data("digits").train.take(150)


@pytest.fixture(scope="module")
def pictures():
    """Large enough for bfloat16, color and augmentation."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (48, 3, 16, 16), dtype=torch.uint8, generator=generator)
    form = load_data("digits").train.form
    form = type(form)((0.5,) * 3, (0.25,) * 3, shift=2, flip=True)
    return Split((images, torch.randint(10, (48,), generator=generator)), form)


def net(name="digits-resnet", channels=1):
    torch.manual_seed(0)
    if name != "dropout":
        return zoo.build(name, channels=channels)
    hidden = nn.Linear(64, 32)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))


def content(model):
    return {
        name: value.reshape(-1).view(torch.uint8).tolist()
        for name, value in model.state_dict().items()
    }


def killed(after):
    def on_step(step, total, loss):
        if step in after:
            after.remove(step)
            raise Killed

    return on_step


def survive(make, split, config, where, kills, **options):
    """Train, killed after each of ``kills`` steps, in a new process' place each time.

    The state is saved after every step, so that a kill costs the step it came in.
    """
    left, taken = set(kills), []
    kill = killed(left)

    def on_step(step, total, loss):
        taken.append(step)
        kill(step, total, loss)

    while True:
        model, checkpoint = make(), FileCheckpoint(Artifacts(where), "part", EAGER)
        try:
            fit(model, split, TASK, config, on_step=on_step, checkpoint=checkpoint, **options)
            break
        except Killed:
            pass
    if kills:
        steps = range(config.first + 1, config.length(len(split)) + 1)
        assert taken == sorted([*steps, *kills])
    return model


@pytest.mark.parametrize("name", ["digits-resnet", "dropout"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_training_killed_in_any_step_ends_bit_for_bit_like_one_that_was_not(
    digits, tmp_path, name, optimizer
):
    config = FitConfig(epochs=3, batch_size=40, optimizer=optimizer, learning_rate=0.01)
    whole = net(name)
    fit(whole, digits, TASK, config)
    assert config.epoch(len(digits)) == 4
    again = survive(lambda: net(name), digits, config, tmp_path, [1, 2, 6, 8, 9, 12])
    assert content(again) == content(whole)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nor_do_layout_low_precision_and_augmentation_change_a_bit(pictures, tmp_path, precision):
    config = FitConfig(epochs=2, batch_size=16, learning_rate=0.02, precision=precision)
    whole = net("mobilenetv2", 3)
    fit(whole, pictures, TASK, config)
    again = survive(lambda: net("mobilenetv2", 3), pictures, config, tmp_path, [2, 4])
    assert content(again) == content(whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_nor_does_data_that_are_read_anew_and_augmented(tmp_path, workers):
    def read():
        noisy = Noisy(90, ("torch", "numpy", "random", "own"), width=64)
        loader = DataLoader(
            noisy, sampler=WeightedRandomSampler([1.0] * 90, 90), num_workers=workers
        )
        return load_data({"train": loader, "test": Noisy(8, width=64)}).train

    config = FitConfig(epochs=2, batch_size=9, learning_rate=0.01)
    whole = net("dropout")
    fit(whole, read(), TASK, config)
    again = survive(lambda: net("dropout"), read(), config, tmp_path, [4, 13])
    assert content(again) == content(whole)


def test_masks_a_teacher_and_a_late_start_go_on_too(digits, tmp_path):
    masks = {"conv1.weight": torch.arange(16 * 9).view(16, 1, 3, 3) % 3 > 0}
    config = FitConfig(epochs=3, batch_size=40, first=2, distill=0.5, schedule="cosine")
    options = {"masks": masks, "teacher": net()}
    whole = net()
    fit(whole, digits, TASK, config, **options)
    again = survive(net, digits, config, tmp_path, [3, 7], **options)
    assert content(again) == content(whole)
    assert again.conv1.weight[~masks["conv1.weight"]].eq(0).all()


def test_epochs_before_the_kill_are_told_again_with_the_same_losses(digits, tmp_path):
    config, told = FitConfig(epochs=3, batch_size=40), []

    def note(*facts):
        told.append(facts)

    fit(net(), digits, TASK, config, on_epoch=note)
    whole, told[:] = list(told), []
    survive(net, digits, config, tmp_path, [10], on_epoch=note)
    assert told == whole[:2] + whole


def test_what_ended_comes_back_without_a_step(digits, tmp_path):
    config, steps = FitConfig(epochs=1, batch_size=40), []
    first = survive(net, digits, config, tmp_path, [])
    checkpoint, model = FileCheckpoint(Artifacts(tmp_path), "part"), net()
    fit(
        model,
        digits,
        TASK,
        config,
        checkpoint=checkpoint,
        on_step=lambda *facts: steps.append(facts),
    )
    assert steps == [] and content(model) == content(first)
    state = checkpoint.load()
    assert not any("optimizer" in name for name in state)
    discard(Artifacts(tmp_path))
    assert checkpoint.load() is None and Artifacts(tmp_path).damaged == []
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_state_of_another_training_is_left_aside_and_a_damaged_one_made_anew(digits, tmp_path):
    config = FitConfig(epochs=1, batch_size=40)
    survive(net, digits, FitConfig(epochs=1, batch_size=40, seed=1), tmp_path, [])
    whole = net()
    fit(whole, digits, TASK, config)
    assert content(survive(net, digits, config, tmp_path, [])) == content(whole)
    file = next(tmp_path.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert content(survive(net, digits, config, tmp_path, [])) == content(whole)


def test_a_damaged_newest_state_is_kept_aside_and_the_one_before_is_used(digits, tmp_path):
    config, whole, steps = FitConfig(epochs=2, batch_size=40), net(), []
    fit(whole, digits, TASK, config)
    with pytest.raises(Killed):
        checkpoint = FileCheckpoint(Artifacts(tmp_path), "part", EAGER)
        fit(net(), digits, TASK, config, on_step=killed({4}), checkpoint=checkpoint)
    newest = max(
        tmp_path.glob("*.checkpoint.safetensors"), key=lambda file: file.stat().st_mtime_ns
    )
    newest.write_bytes(newest.read_bytes()[:-1] + b"?")
    model, checkpoint = net(), FileCheckpoint(Artifacts(tmp_path), "part", EAGER)
    fit(
        model,
        digits,
        TASK,
        config,
        checkpoint=checkpoint,
        on_step=lambda step, *_: steps.append(step),
    )
    assert steps == [3, 4, 5, 6, 7, 8]
    assert content(model) == content(whole)
    assert (tmp_path / f"{newest.name}.damaged-1").read_bytes().endswith(b"?")


def test_where_every_state_is_damaged_the_training_begins_again(digits, tmp_path):
    config, whole, steps = FitConfig(epochs=2, batch_size=40), net(), []
    fit(whole, digits, TASK, config)
    with pytest.raises(Killed):
        checkpoint = FileCheckpoint(Artifacts(tmp_path), "part", EAGER)
        fit(net(), digits, TASK, config, on_step=killed({4}), checkpoint=checkpoint)
    for file in tmp_path.glob("*.checkpoint.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    model, checkpoint = net(), FileCheckpoint(Artifacts(tmp_path), "part", EAGER)

    def note(step, total, loss):
        steps.append(step)

    fit(model, digits, TASK, config, on_step=note, checkpoint=checkpoint)
    assert steps == list(range(1, 9)) and content(model) == content(whole)
    assert len(list(tmp_path.glob("*.damaged-1"))) == 2


def test_half_a_state_is_refused_by_name(digits, tmp_path):
    config = FitConfig(epochs=2, batch_size=40)
    checkpoint = FileCheckpoint(Artifacts(tmp_path), "part", EAGER)
    with pytest.raises(Killed):
        fit(net(), digits, TASK, config, on_step=killed({3}), checkpoint=checkpoint)
    state = dict(checkpoint.load())
    del state["fit.step"]
    checkpoint.save(state)
    with pytest.raises(DamagedError, match="the state of the training is damaged"):
        fit(net(), digits, TASK, config, checkpoint=checkpoint)


def test_divergence_after_a_kill_goes_back_to_the_same_good_epoch(digits, tmp_path):
    config, outcomes = FitConfig(epochs=2, batch_size=40), []

    def explode(step, total, loss):
        if step == 7:
            raise Diverged("boom")

    for kills in ([], [6]):
        where = tmp_path / str(len(kills))
        where.mkdir()
        if kills:
            checkpoint = FileCheckpoint(Artifacts(where), "part", EAGER)
            with pytest.raises(Killed):
                fit(net(), digits, TASK, config, on_step=killed({6}), checkpoint=checkpoint)
        model, checkpoint = net(), FileCheckpoint(Artifacts(where), "part", EAGER)
        with pytest.raises(Diverged, match="in step 7 of 8"):
            fit(model, digits, TASK, config, on_step=explode, checkpoint=checkpoint)
        outcomes.append(content(model))
    assert outcomes[0] == outcomes[1]


def test_saving_takes_a_small_part_of_the_time(tmp_path):
    now = [0.0]

    class Slow(Artifacts):
        def publish(self, name, writer):
            now[0] += 6.0
            return super().publish(name, writer)

    pace = PaceConfig(save_every=20.0)
    checkpoint = FileCheckpoint(Slow(tmp_path), "part", pace, clock=lambda: now[0])
    assert not checkpoint.due
    now[0] = 21.0
    assert checkpoint.due
    checkpoint.save({"x": torch.zeros(1)})
    now[0] += 150.0
    assert not checkpoint.due
    now[0] += 60.0
    assert checkpoint.due
