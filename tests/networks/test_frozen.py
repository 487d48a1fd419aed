"""What the user froze keeps its values and flags, in repair, statistics and training."""

import copy

import pytest
import torch
from torch import nn

import autoprune
from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.networks.frozen import frozen_modules, frozen_parameters, thawed
from autoprune.training.loop import FitConfig, fit

TASK = Classification()


class Backbone(nn.Module):
    """A frozen filter bank and block with norms of both kinds, and a head that trains."""

    def __init__(self):
        super().__init__()
        self.edges = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
        self.block = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)
        )
        self.plain = nn.BatchNorm2d(8, affine=False)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)
        self.edges.requires_grad_(False)
        self.block.requires_grad_(False)

    def forward(self, x):
        x = self.norm(self.plain(self.block(self.edges(x))))
        return self.head(x.relu().mean((2, 3)))


@pytest.fixture
def data():
    make = torch.Generator().manual_seed(0)
    x = torch.randn(120, 3, 8, 8, generator=make)
    y = 2 * (x[:, 0].mean((1, 2)) > 0) + (x[:, 1].mean((1, 2)) > 0).long()
    x = x + 0.5 * torch.eye(4)[y][:, :3, None, None]
    return x, y


def trained_backbone(data):
    torch.manual_seed(0)
    model = Backbone()
    with torch.no_grad():
        model(data[0])  # statistics
    return model.eval()


def frozen_values(model):
    values = {name: value.clone() for name, value in model.block.state_dict().items()}
    return values | {"edges": model.edges.weight.clone()}


def test_which_parameters_and_modules_are_frozen():
    model = Backbone()
    assert frozen_parameters(model) == {
        *("edges.weight", "block.0.weight", "block.0.bias", "block.1.weight", "block.1.bias"),
        *("block.3.weight", "block.3.bias"),
    }
    frozen = frozen_modules(model)
    assert model.edges in frozen and model.block in frozen and model.block[1] in frozen
    assert model not in frozen and model.norm not in frozen and model.plain not in frozen
    model.requires_grad_(False)
    assert not frozen_parameters(model) and not frozen_modules(model)


def test_training_moves_neither_frozen_values_nor_the_statistics_beside_them(data):
    model = trained_backbone(data)
    before, statistics = frozen_values(model), model.norm.running_mean.clone()
    modes = [module.training for module in model.modules()]
    fit(model, Split(data), TASK, FitConfig(epochs=2, batch_size=30))
    assert all(torch.equal(before[name], value) for name, value in frozen_values(model).items())
    assert not torch.equal(model.norm.running_mean, statistics)
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize("ranking", ["regression", "lasso", "l1"])
def test_a_search_keeps_what_is_frozen_but_for_what_it_removes(data, ranking, tmp_path):
    model = trained_backbone(data)
    flags = {name: value.requires_grad for name, value in model.named_parameters()}
    before = copy.deepcopy(model)
    result = autoprune.search(
        model,
        (data, data),
        "0.6flops",
        agent="uniform",
        ranking=ranking,
        finetune_epochs=12,
        run=tmp_path / "run",
    )
    found = dict(result.model.named_parameters())
    assert {name: value.requires_grad for name, value in found.items()} == flags
    assert torch.equal(result.model.edges.weight, before.edges.weight)
    for name in ("block.0.weight", "block.3.bias", "block.1.weight"):
        rows = before.get_parameter(name)
        columns = torch.tensor([any(torch.equal(r, row) for row in rows) for r in found[name]])
        assert bool(columns.all()), f"{name} holds rows that the user never froze"
    means = before.block[1].running_mean.tolist()
    assert all(value in means for value in result.model.block[1].running_mean.tolist())
    assert not torch.equal(result.model.head.bias, before.head.bias)


def test_a_network_that_is_frozen_whole_trains_and_is_said_to(data, tmp_path):
    model = trained_backbone(data).requires_grad_(False)
    result = autoprune.search(
        model,
        (data, data),
        "0.6flops",
        agent="uniform",
        finetune_epochs=12,
        run=tmp_path / "run",
    )
    assert not any(value.requires_grad for value in result.model.parameters())
    assert sum("every parameter was frozen" in text for text in result.warnings) == 1


def test_thawing_leaves_integers_alone_and_restores_the_flags():
    model = nn.Linear(2, 2).requires_grad_(False)
    model.steps = nn.Parameter(torch.zeros(3, dtype=torch.int64), requires_grad=False)
    with thawed(model) as asleep:
        assert asleep and model.weight.requires_grad and not model.steps.requires_grad
    assert not model.weight.requires_grad
    with thawed(nn.ReLU()) as asleep:
        assert not asleep
