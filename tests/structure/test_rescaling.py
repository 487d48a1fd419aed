"""Attention that divides by the root of its places: queries are scaled when places go."""

import copy
import math
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.integrations.gradual import GradualPruner, Rounds
from autoprune.problem.prune import mask, prune
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.kept_norms import KeptUnits
from autoprune.structure.pinning import pin
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

X = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))


class Fused(nn.Module):
    """Queries, keys and values by one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 48), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out(F.scaled_dot_product_attention(q, k, v))


class Apart(nn.Module):
    """A layer each; the queries' is a convolution over positions, as VAEs of images have."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Conv1d(8, 16, 1), nn.Linear(8, 16, bias=False), nn.Linear(8, 12)
        self.out = nn.Linear(12, 8)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x.transpose(1, 2)).transpose(1, 2)
        return self.out(F.scaled_dot_product_attention(q, self.k(x), self.v(x)))


class OneHead(nn.Module):
    """One head, split off by a view, as in the first stage of PVTv2."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.heads, self.head_dim = nn.Linear(8, 16), 1, 16
        self.kv, self.out = nn.Linear(8, 32), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, places, _ = x.shape
        q = self.q(x).reshape(n, places, self.heads, -1).permute(0, 2, 1, 3)
        kv = self.kv(x).reshape(n, places, 2, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, *kv.unbind(0)).transpose(1, 2)
        return self.out(y.reshape(n, places, self.heads * self.head_dim))


class Twice(nn.Module):
    """One layer that attends twice, as in networks that share their blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Fused()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x + self.block(x))


class Normed(Apart):
    """Queries and keys that are normalized: the norm makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.RMSNorm(16), nn.LayerNorm(16)])

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.norms[0](self.q(x.transpose(1, 2)).transpose(1, 2)), self.norms[1](self.k(x))
        return self.out(F.scaled_dot_product_attention(q, k, self.v(x)))


class ReadTwice(Apart):
    """Queries that something else reads, too: scaling them would change it."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x.transpose(1, 2)).transpose(1, 2)
        return self.out(F.scaled_dot_product_attention(q, self.k(x), self.v(x))) + self.more(q)


def made(kind: type[nn.Module]) -> tuple[nn.Module, Structure]:
    net, structure = _analyzed(kind)
    return copy.deepcopy(net), structure


@cache
def _analyzed(kind: type[nn.Module]) -> tuple[nn.Module, Structure]:
    torch.manual_seed(0)
    net = kind().double()
    for parameter in net.parameters():
        parameter.data.mul_(3)  # scores that are far from even
    return net, analyze(net, X.double())


def kept_by(structure: Structure, share: float) -> tuple[Plan, dict[str, Tensor]]:
    plan = Plan.uniform(structure, share)
    return plan, {name: torch.arange(count) for name, count in plan.items()}


KINDS = [Fused, Apart, OneHead, Twice]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_attends_as_the_masked_network(kind: type[nn.Module], training: bool) -> None:
    net, structure = made(kind)
    net.train(training)
    assert verify(net, structure, X.double()).ok
    for share in (0.25, 0.5):
        plan = Plan.uniform(structure, share)
        compact, masked = prune(net, structure, plan), mask(net, structure, plan)
        assert sum(one.numel() for one in compact.parameters()) < 0.7 * sum(
            one.numel() for one in net.parameters()
        )
        torch.testing.assert_close(compact(X.double()), masked(X.double()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_shell_scales_anew_for_every_plan(kind: type[nn.Module]) -> None:
    net, structure = made(kind)
    slicer, before = Slicer(net, structure), copy.deepcopy(net.state_dict())
    given = {"block.qkv.weight": net.block.qkv.weight.detach() * 2} if kind is Twice else {}
    for share, weights in ((0.25, {}), (0.75, given), (0.25, given), (1.0, {}), (0.5, {})):
        _, kept = kept_by(structure, share)
        shell = slicer(kept, weights)(X.double())
        torch.testing.assert_close(shell, slicer.build(kept, weights)(X.double()))
        torch.testing.assert_close(shell, slicer.masked(kept, weights)(X.double()))
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_is_put_back_into_the_dense_shape_attends_alike(
    kind: type[nn.Module],
) -> None:
    net, structure = made(kind)
    _, kept = kept_by(structure, 0.5)
    slicer = Slicer(net, structure)
    compact = slicer.build(kept)
    torch.testing.assert_close(slicer.expand(compact, kept)(X.double()), compact(X.double()))


def test_the_norm_of_queries_is_scaled() -> None:
    net, structure = made(Normed)
    assert structure.sizes == {"q": 16, "v": 12}
    plan = Plan.uniform(structure, 0.25)
    compact, masked = prune(net, structure, plan), mask(net, structure, plan)
    with KeptUnits() as dense:
        net(X.double())
    with KeptUnits(dense):
        expected = masked(X.double())
    torch.testing.assert_close(compact(X.double()), expected)
    assert torch.equal(compact.norms[0].weight, net.norms[0].weight[:4] * math.sqrt(4 / 16))
    rows = {tuple(row) for row in net.q.weight.flatten(1).tolist()}
    assert all(tuple(row) in rows for row in compact.q.weight.flatten(1).tolist())


def test_only_the_rows_of_queries_are_scaled() -> None:
    net, structure = made(Fused)
    plan = Plan.uniform(structure, 0.25)
    compact = prune(net, structure, plan, "l1")
    assert compact.qkv.weight.shape == (12, 8)
    scale = math.sqrt(4 / 16)
    rows = {tuple(row) for row in net.qkv.weight.tolist()}
    halved = {tuple(row) for row in (net.qkv.weight * scale).tolist()}
    assert all(tuple(row) in halved for row in compact.qkv.weight[:4].tolist())
    assert all(tuple(row) in rows for row in compact.qkv.weight[4:].tolist())


def test_queries_that_are_read_twice_stay() -> None:
    _, structure = made(ReadTwice)
    assert set(structure.sizes) == {"v"}
    (reason,) = [one.reason for one in structure.pinned if one.name == "q"]
    assert reason.startswith("sliced and masked outputs differ")


def test_places_that_are_pinned_scale_nothing() -> None:
    net, structure = made(Apart)
    pinned = pin(structure, {"q": "the user says so"})
    compact = prune(net, pinned, Plan.uniform(pinned, 0.5))
    assert torch.equal(compact.q.weight, net.q.weight)


def test_rounds_in_training_scale_what_is_left_each_time() -> None:
    net, structure = made(Fused)
    pruner = GradualPruner(Rounds(budget="0.25flops", every=1, rounds=2), X.double())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    dense = copy.deepcopy(net)
    for step in range(3):
        pruner.step(net, [optimizer], step)
    left = net.out.in_features
    assert left < 8
    kept = [
        torch.nonzero((dense.out.weight == column[:, None]).all(0)).item()
        for column in net.out.weight.t()
    ]
    masked = Slicer(dense, structure).masked({structure.groups[0].name: torch.tensor(kept)})
    torch.testing.assert_close(net(X.double()), masked(X.double()))
