"""Optimizer surgery: the compact network trains on as the masked one would have."""

import copy

import pytest
import torch
from torch import nn

import autoprune
from autoprune.errors import UsageError
from autoprune.structure.depth import deepened
from autoprune.structure.slicing import Slicer

OPTIMIZERS = {
    "sgd": lambda ps: torch.optim.SGD(ps, 0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda ps: torch.optim.Adam(ps, 0.01, amsgrad=True),
    "adamw": lambda ps: torch.optim.AdamW(ps, 0.01),
    "rmsprop": lambda ps: torch.optim.RMSprop(ps, 0.01, momentum=0.5, centered=True),
    "adagrad": lambda ps: torch.optim.Adagrad(ps, 0.05),
    "nadam": lambda ps: torch.optim.NAdam(ps, 0.01),
    "fused": lambda ps: torch.optim.AdamW(ps, 0.01, foreach=True),
}


@pytest.fixture
def case():
    """A network in training, its structure, and batches."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 9, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 4)),
    ).double()
    batches = [torch.randn(8, 1, 8, 8).double() for _ in range(8)]
    return model, autoprune.analyze(model, batches[0][:2]), batches


def step(model, optimizer, batch, masks=None):
    optimizer.zero_grad()
    model(batch).square().mean().backward()
    for name, parameter in model.named_parameters():
        parameter.grad.mul_((masks or {}).get(name, 1))
    optimizer.step()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_((masks or {}).get(name, 1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_cut_network_trains_on_like_the_masked_one(case, name):
    model, structure, batches = case
    optimizer = OPTIMIZERS[name](model.parameters())
    for batch in batches[:4]:
        step(model, optimizer, batch)
    ranking = autoprune.rank(model, structure, "l1")
    plan = autoprune.Plan.uniform(structure, 0.5)
    compact = autoprune.prune(model, structure, plan, ranking)
    masks = Slicer(model, structure).masks(ranking.kept(plan))
    masked, twin = copy.deepcopy((model, optimizer))
    with torch.no_grad():
        for key, parameter in masked.named_parameters():
            parameter.mul_(masks.get(key, torch.tensor(1)))
    autoprune.prune_optimizer(optimizer, model, compact)
    for batch in batches[4:]:
        step(compact, optimizer, batch)
        step(masked, twin, batch, masks)
    expected = autoprune.prune(masked, structure, plan, ranking)
    for key, value in compact.named_parameters():
        torch.testing.assert_close(value, expected.get_parameter(key), msg=key)
    assert {id(p) for p in compact.parameters()} == {
        id(p) for group in optimizer.param_groups for p in group["params"]
    }
    assert {tuple(p.shape) for p in optimizer.state} <= {
        tuple(p.shape) for p in compact.parameters()
    }


def test_a_second_cut_counts_in_what_the_first_left(case):
    model, structure, batches = case
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    step(model, optimizer, batches[0])
    moment = optimizer.state[model[0].weight]["exp_avg"].clone()
    first = autoprune.prune(model, structure, autoprune.Plan.uniform(structure, 0.7))
    autoprune.prune_optimizer(optimizer, model, first)
    again = autoprune.analyze(first, batches[0][:2])
    second = autoprune.prune(first, again, autoprune.Plan.uniform(again, 0.5))
    autoprune.prune_optimizer(optimizer, first, second)
    kept = optimizer.state[second[0].weight]["exp_avg"]
    rows = [int((model[0].weight == row).flatten(1).all(1).nonzero()) for row in second[0].weight]
    assert torch.equal(kept, moment[rows])


def test_groups_schedulers_and_gradients_stay(case):
    model, structure, batches = case
    groups = [
        {"params": model[0].parameters(), "lr": 0.5},
        {"params": [*model[2].parameters(), *model[6].parameters()]},
    ]
    optimizer = torch.optim.SGD(groups, 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    model(batches[0]).sum().backward()
    gradient = model[0].bias.grad.clone()
    compact = autoprune.prune(model, structure, autoprune.Plan.uniform(structure, 0.5))
    autoprune.prune_optimizer(optimizer, model, compact)
    assert all(float(value) in gradient.tolist() for value in compact[0].bias.grad)
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.05]


class Factored(torch.optim.SGD):
    """Keeps a row of statistics for each matrix, as Adafactor does."""

    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["rows"] = (
                    parameter.grad.flatten(1).mean(1).clone()
                    if parameter.dim() > 1
                    else parameter.grad.clone()
                )


def test_what_cannot_be_carried_is_refused_before_anything_changes(case):
    model, structure, batches = case
    compact = autoprune.prune(model, structure, autoprune.Plan.uniform(structure, 0.5))
    optimizer = Factored(model.parameters(), 0.1)
    step(model, optimizer, batches[0])
    before = [id(p) for p in optimizer.param_groups[0]["params"]]
    with pytest.raises(UsageError, match=r"Factored keeps 'rows' of '0.weight' in another"):
        autoprune.prune_optimizer(optimizer, model, compact)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == before
    other = copy.deepcopy(model)
    with pytest.raises(UsageError, match="no parameter of the model"):
        autoprune.prune_optimizer(optimizer, other, compact)
    stranger = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(UsageError, match="was not cut out of this model"):
        autoprune.prune_optimizer(torch.optim.SGD(model.parameters(), 0.1), model, stranger)


class Branched(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3)
        self.body = nn.Sequential(nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 1))
        self.head = nn.Linear(6, 4)

    def forward(self, images):
        stem = self.stem(images).relu()
        return self.head((stem + self.body(stem)).mean((2, 3)))


def test_a_branch_that_went_leaves_its_constant_in_the_group_of_its_parameters():
    torch.manual_seed(0)
    model, batch = Branched(), torch.randn(8, 1, 8, 8)
    structure = deepened(autoprune.analyze(model, batch[:2]))
    groups = [
        {"params": [*model.stem.parameters(), *model.head.parameters()]},
        {"params": model.body.parameters(), "lr": 0.5},
    ]
    optimizer = torch.optim.Adam(groups, 0.01)
    step(model, optimizer, batch)
    moment = optimizer.state[model.head.weight]["exp_avg"].clone()
    plan = autoprune.Plan.of({"stem": 6, "body": 0, "body.0": 0})
    compact = autoprune.prune(model, structure, plan)
    autoprune.prune_optimizer(optimizer, model, compact)
    left = [p for name, p in compact.named_parameters() if name.startswith("body.")]
    assert [id(p) for p in optimizer.param_groups[1]["params"]] == [id(p) for p in left]
    assert len(optimizer.param_groups[0]["params"]) == 4 and len(optimizer.state) == 4
    assert torch.equal(optimizer.state[compact.head.weight]["exp_avg"], moment)
    step(compact, optimizer, batch)
    assert left[0].abs().min() > 0  # the constant is trained on

    again = autoprune.analyze(compact, batch[:2])
    smaller = autoprune.prune(compact, again, autoprune.Plan.uniform(again, 0.5))
    autoprune.prune_optimizer(optimizer, compact, smaller)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in smaller.parameters()} and smaller.stem.out_channels == 3
    step(smaller, optimizer, batch)
