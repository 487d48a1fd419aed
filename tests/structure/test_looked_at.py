"""Values that are looked at, looked up, resized or multiplied with others keep what they can."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.problem.prune import mask, prune
from autoprune.structure import trace_structure
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.copies import plain_copy
from autoprune.structure.plan import Plan

Forward = Callable[[Any, Tensor], Tensor]


class Net(nn.Module):
    """Modules and parameters by name, and a forward pass over them."""

    def __init__(self, forward: Forward, **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def halved(net: nn.Module, x: Tensor) -> dict[str, int]:
    """Prune by half, compare with the masked twin, and return the groups."""
    structure = analyze(net.eval(), x)
    assert verify(net, structure, x).ok
    plan = Plan.uniform(structure, 0.5)
    torch.testing.assert_close(prune(net, structure, plan)(x), mask(net, structure, plan)(x))
    return structure.sizes


def table(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def looks_at_shape(net: Any, x: Tensor) -> Tensor:
    hidden = net.first(x)
    samples = hidden.softmax(1).cumsum(1).shape[0]
    return net.last(hidden.relu().view(samples, -1))


def test_what_is_only_looked_at_pins_nothing() -> None:
    net = Net(looks_at_shape, first=nn.Linear(5, 8), last=nn.Linear(8, 3))
    assert halved(net, torch.randn(4, 5)) == {"first": 8}


def changes_in_place(net: Any, x: Tensor) -> Tensor:
    hidden = net.first(x)
    hidden[:, :3].mul_(net.gate(x))
    return net.last(hidden)


def test_what_is_changed_in_place_is_not_only_looked_at() -> None:
    parts = {"first": nn.Linear(5, 8), "gate": nn.Linear(5, 3), "last": nn.Linear(8, 2)}
    traced = trace_structure(Net(changes_in_place, **parts), torch.randn(4, 5))
    assert not traced.sizes, "seen in the graph, not only by the proof"


ROWS, COLUMNS = torch.tensor([0, 2, 3]), torch.tensor([1, 1, 4])


@pytest.mark.parametrize(
    "pick",
    [
        lambda maps: maps[:, :, ROWS, COLUMNS].mean(2),
        lambda maps: maps[:, :, ROWS[:, None], COLUMNS].flatten(2).mean(2),
        lambda maps: maps.permute(0, 2, 3, 1)[:, ROWS, COLUMNS].mean(1),
        lambda maps: maps.transpose(1, 2)[:, ROWS, :, COLUMNS].mean(0),
    ],
    ids=["together", "grid", "before the units", "apart"],
)
def test_lookups_at_several_places_leave_units_alone(pick: Callable[[Tensor], Tensor]) -> None:
    net = Net(
        lambda net, x: net.last(pick(net.first(x))),
        first=nn.Conv2d(3, 8, 3, padding=1),
        last=nn.Linear(8, 2),
    )
    assert halved(net, torch.randn(2, 3, 6, 6)) == {"first": 8}


def test_lookups_of_units_pin_them() -> None:
    def pick(net: Any, x: Tensor) -> Tensor:
        return net.last(net.first(x)[:, ROWS, COLUMNS])

    net = Net(pick, first=nn.Conv2d(3, 8, 3, padding=1), last=nn.Linear(6, 2))
    assert halved(net, torch.randn(2, 3, 6, 6)) == {}


def test_tables_that_are_resized_keep_their_positions_only() -> None:
    def add(net: Any, x: Tensor) -> Tensor:
        maps = net.first(x)
        bicubic = F.interpolate(net.places, maps.shape[2:], mode="bicubic")
        return net.last((maps + bicubic).relu().mean((2, 3)))

    parts = {"first": nn.Conv2d(3, 8, 1), "places": table(1, 8, 4, 4), "last": nn.Linear(8, 2)}
    net = Net(add, **parts)
    structure = analyze(net, torch.randn(2, 3, 6, 6))
    assert structure.sizes == {"first": 8}
    assert {one.tensor for one in structure.slices["first"]} >= {"places", "last.weight"}
    assert halved(net, torch.randn(2, 3, 6, 6)) == {"first": 8}


def attends(net: Any, x: Tensor) -> Tensor:
    samples, length, _ = x.shape
    q, k, v = (
        one(x).view(samples, length, 4, -1).transpose(1, 2).flatten(0, 1)
        for one in (net.q, net.k, net.v)
    )
    near = (net.slope.view(1, 4, 1, 1) * net.near).expand(samples, 4, length, length)
    scores = torch.baddbmm(near.flatten(0, 1), q, k.mT, alpha=6**-0.5)
    heads = torch.bmm(scores.softmax(2), v).view(samples, 4, length, -1)
    return net.out(heads.transpose(1, 2).flatten(2))


def test_scores_with_a_bias_in_one_product_are_a_product() -> None:
    parts = {name: nn.Linear(7, 24) for name in "qkv"}
    net = Net(attends, **parts, slope=table(4), near=table(5, 5), out=nn.Linear(24, 3))
    assert halved(net, torch.randn(2, 5, 7)) == {"q": 6, "v": 6}, "the places of every head"


@pytest.mark.parametrize("form", ["multiply", "einsum"])
def test_of_an_outer_product_the_larger_group_goes(form: str) -> None:
    def outer(net: Any, x: Tensor) -> Tensor:
        many, few = net.many(x), net.few(x)
        if form == "einsum":
            both = torch.einsum("bi,bj->bij", many, few)
        else:
            both = many[:, :, None] * few[:, None, :]
        return net.last(both.transpose(1, 2))

    parts = {"many": nn.Linear(5, 8), "few": nn.Linear(5, 3), "last": nn.Linear(8, 2)}
    assert halved(Net(outer, **parts), torch.randn(4, 5)) == {"many": 8}


def doubled(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return 2 * output


@pytest.mark.parametrize(
    ("owner", "stays"), [("transformers.pytorch_utils", True), ("my_transformers", False)]
)
def test_hooks_of_the_library_that_built_a_network_are_part_of_it(
    monkeypatch: pytest.MonkeyPatch, owner: str, stays: bool
) -> None:
    monkeypatch.setattr(doubled, "__module__", owner)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    net[0].register_forward_hook(doubled)
    x = torch.randn(3, 4)
    assert torch.equal(plain_copy(net)(x), net(x)) == stays
