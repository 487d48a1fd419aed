"""Effects of branches against an independent count: hooks, and losses without a branch."""

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
from autoprune.ranking.branch_effects import loss_rises, mean_values, with_branches
from autoprune.ranking.rank import rank
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.depth import deepened
from autoprune.structure.table import Branch

TASK = Classification()


class Block(nn.Module):
    """Transformer block without norms over batches: two branches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = nn.Linear(6, 6)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(self.first(x).transpose(1, 2)).transpose(1, 2)
        return x + self.down(self.up(self.second(x)).relu())


def mixer() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), Block(8), Block(8), nn.Flatten(), nn.Linear(48, 4)).eval()


def samples(model: nn.Module, count: int, *shape: int) -> Split:
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return Split((x, model(x).argmax(1)))


@pytest.fixture(scope="module")
def mixed() -> tuple[nn.Module, Structure, Batches, Split]:
    model = mixer()
    split = samples(model, 40, 6, 5)
    structure = deepened(analyze(model, split.content[0][:2]))
    return model, structure, Batches(split, 16, model, Form(), seed=0), split


def branch(structure: Structure, name: str) -> Branch:
    return next(one for one in structure.branches if name in one.removal.modules)


def test_a_mean_is_that_of_the_branch_over_samples_and_positions(mixed):
    model, structure, batches, split = mixed
    found = branch(structure, "1.down")
    values: list[Tensor] = []
    hook = model[1].down.register_forward_hook(lambda *taken: values.append(taken[2]))
    with torch.no_grad():
        model(split.content[0])
    hook.remove()
    means = mean_values(model, structure.branches, TASK, batches)
    wanted = values[0].mean((0, 1))
    assert torch.allclose(means[found.removal.constant], wanted, atol=1e-5)
    assert len(means) == len(structure.branches)


def test_a_rise_is_that_of_the_loss_with_the_mean_in_the_place_of_the_branch(mixed):
    model, structure, batches, split = mixed
    found = branch(structure, "2.mix")
    means = mean_values(model, structure.branches, TASK, batches)
    rises = loss_rises(model, structure, structure.branches, TASK, batches, means)
    twin = copy.deepcopy(model)
    constant = means[found.removal.constant]
    width = constant.numel()
    where = found.removal.dim - found.removal.rank  # the module gives out its transposed value

    def replace(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        shape = [1] * output.dim()
        shape[1 if where == -1 else -1] = width
        return constant.reshape(shape).expand_as(output)

    twin[2].mix.register_forward_hook(replace)
    x, y = split.content
    with torch.no_grad():
        wanted = nn.functional.cross_entropy(twin(x), y) - nn.functional.cross_entropy(model(x), y)
    assert rises[found.name] == pytest.approx(max(float(wanted), 0.0), abs=1e-5)


def test_a_branch_that_gives_out_nothing_costs_nothing(mixed):
    model, structure, batches, _ = mixed
    silent = copy.deepcopy(model)
    nn.init.zeros_(silent[1].down.weight)
    name = branch(structure, "1.down").name
    means = mean_values(silent, structure.branches, TASK, batches)
    rises = loss_rises(silent, structure, structure.branches, TASK, batches, means)
    assert rises[name] == pytest.approx(0.0, abs=1e-6)
    assert max(rises.values()) > 0.01


def test_ranking_a_network_twice_gives_the_same_and_leaves_it_as_it_was():
    model = zoo.build("digits-resnet").eval()
    split = samples(model, 64, 1, 8, 8)
    structure = deepened(analyze(model, split.content[0][:2]))
    before = copy.deepcopy(model.state_dict())
    one, two = (
        rank(model, structure, "regression", task=TASK, calibration=split) for _ in range(2)
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {item.name for item in one.branches} == {item.name for item in structure.branches}
    for item in structure.branches:
        assert one.errors[item.name].tolist() == two.errors[item.name].tolist()
        assert one.errors[item.name][1] == 0
        assert torch.equal(
            one.constants[item.removal.constant], two.constants[item.removal.constant]
        )


def test_without_data_a_branch_is_worth_all_units_in_it(mixed):
    model, structure, *_ = mixed
    plain = rank(model, structure, "l1")
    known = with_branches(plain, model, structure)
    assert not known.constants
    found = branch(structure, "1.down")
    inside = sum(float(known.errors[name][0]) for name in found.groups)
    assert known.errors[found.name][0] == pytest.approx(inside)
