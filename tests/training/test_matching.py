"""Feature matching: points, loss, no labels."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.networks import zoo
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.depth import deepened, settled
from autoprune.structure.slicing import Slicer
from autoprune.training.loop import FitConfig, fit
from autoprune.training.matching import Matching, Point, points
from tests.small_nets import concat

TASK = Classification()


def units(structure: Structure, share: float, gone: tuple[str, ...] = ()) -> dict[str, Tensor]:
    counts = {group.name: max(1, int(group.size * share)) for group in structure.groups}
    settle = settled(structure, counts | dict.fromkeys(gone, 0))
    return {name: torch.arange(count) for name, count in settle.items()}


@pytest.fixture(scope="module")
def net() -> tuple[nn.Module, Structure, Split]:
    torch.manual_seed(0)
    model = zoo.build("digits-resnet").eval()
    x = torch.randn(120, 1, 8, 8)
    structure = deepened(analyze(model, x[:2]))
    with torch.no_grad():
        return model, structure, Split((x, model(x).argmax(1)))


@pytest.mark.parametrize("gone", [(), ("layer1.1",)])
def test_the_whole_network_has_no_loss_and_a_smaller_one_some(net, gone):
    model, structure, split = net
    slicer = Slicer(model, structure)
    batches = Batches(split, 60, model, Form())
    losses = []
    for share in (1.0, 0.6):
        kept = units(structure, share, gone)
        compact = slicer.build(kept).eval()
        places = points(structure, slicer, kept, compact)
        assert {point.path for point in places} >= {"layer1.0.conv1", "layer2.1.conv1"}
        losses.append(Matching(model, TASK, places).mean(compact, batches))
    assert losses[1] > 0.1
    assert losses[0] == pytest.approx(0.0, abs=1e-9) or gone
    assert losses[0] < losses[1]


def test_a_loss_is_the_mean_of_relative_distances(net):
    model, *_ = net
    noisy = copy.deepcopy(model)
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        noisy.conv1.weight.add_(0.1)
        inside = [net.bn1(net.conv1(x)).relu() for net in (noisy, model)]
        apart = [
            float((one - other).square().mean() / other.square().mean())
            for one, other in (inside, (noisy(x), model(x)))
        ]
    lesson = Matching(model, TASK, [Point("layer1.0.conv1", 1, None)])
    with torch.no_grad():
        found = float(lesson(noisy, (x, torch.zeros(4, dtype=torch.long)), Form()))
    assert found == pytest.approx(5 * apart[0] + apart[1], rel=1e-4)


def stacked() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, groups=2), nn.ReLU(),
        nn.Conv2d(8, 5, 3), nn.Flatten(), nn.Linear(20, 7), nn.ReLU(), nn.Linear(7, 4),
    )  # fmt: skip


@pytest.mark.parametrize("make", [stacked, concat])
def test_networks_without_branches_are_matched_at_their_layers(make):
    torch.manual_seed(0)
    model = make().eval()
    x = torch.randn(6, 3, 8, 8)
    structure = analyze(model, x[:2])
    slicer = Slicer(model, structure)
    kept = units(structure, 0.5)
    compact = slicer.build(kept)
    places = points(structure, slicer, kept, compact)
    assert len(places) >= 2
    lesson = Matching(model, TASK, places)
    loss = lesson(compact, (x, torch.zeros(6, dtype=torch.long)), Form())
    loss.backward()
    assert float(loss.detach()) > 0
    first = next(compact.parameters())
    assert first.grad is not None and bool(first.grad.any())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_labels_change_nothing(net):
    model, structure, split = net
    slicer, kept = Slicer(model, structure), units(structure, 0.6)
    x, y = split.content
    results = []
    for labels in (y, y.flip(0), torch.zeros_like(y)):
        compact = slicer.build(kept)
        lesson = Matching(model, TASK, points(structure, slicer, kept, compact))
        before = lesson.mean(compact.eval(), Batches(split, 60, model, Form()))
        config = FitConfig(steps=12, batch_size=40, optimizer="adamw", learning_rate=3e-3)
        fit(compact, Split((x, labels)), TASK, config, teacher=model, lesson=lesson)
        after = lesson.mean(compact.eval(), Batches(split, 60, model, Form()))
        assert after < before
        results.append(compact.state_dict())
    for other in results[1:]:
        assert all(torch.equal(value, other[name]) for name, value in results[0].items())
