"""Sizes that modules keep as ints, heads of attention, experts: they follow the plan."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.networks.save import load, save
from autoprune.problem.prune import mask, prune
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.plan import Plan


class Attention(nn.Module):
    """Attention over heads of 6 places, 4 of them, with what varies between libraries."""

    def __init__(self, scale: float | None = None, bias: bool = False, fused: bool = True) -> None:
        super().__init__()
        self.heads, self.size, self.scale, self.fused = 4, 6, scale, fused
        self.q, self.k, self.v = (nn.Linear(10, 24) for _ in range(3))
        self.qkv = nn.Linear(10, 72) if fused else None
        if fused:
            del self.q, self.k, self.v
        self.bias = nn.Parameter(torch.randn(4, 5, 5)) if bias else None
        self.out = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        n, places, _ = x.shape
        if self.fused:
            shape = (n, places, 3, self.heads, self.size)
            q, k, v = self.qkv(x).view(shape).permute(2, 0, 3, 1, 4)
        else:
            q, k, v = (
                one(x).view(n, places, self.heads, self.size).transpose(1, 2)
                for one in (self.q, self.k, self.v)
            )
            q = q / (q.norm(dim=2, keepdim=True) + 0.1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias, scale=self.scale)
        return self.out(y.transpose(1, 2).flatten(2))


def around(middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(7, 10), middle, nn.Linear(10, 3)).eval()


def check(net: nn.Module, x: Tensor) -> tuple[Structure, nn.Module]:
    structure = analyze(net, x)
    assert verify(net, structure, x).ok
    plan = Plan.of({name: max(1, size * 2 // 3) for name, size in structure.sizes.items()})
    compact = prune(net, structure, plan)
    masked = mask(net, structure, plan)
    assert torch.allclose(compact(x), masked(x), atol=1e-5)
    return structure, compact


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_heads_go_as_a_whole_where_attention_scales_by_their_size(bias: bool, fused: bool) -> None:
    torch.manual_seed(0)
    structure, compact = check(around(Attention(None, bias, fused)), torch.randn(2, 5, 7))
    assert structure.sizes["1.qkv" if fused else "1.q"] == 4
    assert compact[1].heads == 2 and compact[1].size == 6
    assert compact[1].out.in_features == 12
    if bias:
        assert compact[1].bias.shape == (2, 5, 5)


def test_heads_go_as_a_whole_where_the_scale_is_given() -> None:
    torch.manual_seed(0)
    structure, compact = check(around(Attention(0.4)), torch.randn(2, 5, 7))
    assert structure.sizes["1.qkv"] == 4
    assert compact[1].heads == 2 and compact[1].size == 6


class Written(nn.Module):
    """A layer with an int ``kept`` that its code views by, and one that it does not."""

    def __init__(self, inside: int, out: int) -> None:
        super().__init__()
        self.kept = self.features = out
        self.layers = 2
        self.weight, self.bias = (
            nn.Parameter(torch.randn(inside, out)),
            nn.Parameter(torch.ones(out)),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return y.view(*x.shape[:-1], self.kept)


class Checked(nn.Module):
    """A layer that compares sizes before it works."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_dim = 10
        self.inner = nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.embed_dim:
            raise ValueError("wrong width")
        return x + self.inner(x)


class Halves(nn.Module):
    """A layer that is split at an int of the module around."""

    def __init__(self) -> None:
        super().__init__()
        self.half = 9
        self.inner = nn.Sequential(nn.Linear(10, 18))
        self.out = nn.Linear(9, 10)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.inner(x).split([self.half, self.half], -1)
        return self.out(left * right.sigmoid())


def test_ints_follow_the_plan_and_only_those_that_must() -> None:
    torch.manual_seed(0)
    net = around(nn.Sequential(Written(10, 12), nn.ReLU(), Written(12, 10), Checked(), Halves()))
    structure, compact = check(net, torch.randn(2, 5, 7))
    assert not [item for item in structure.pinned if item.reason != "model output"]
    first, _, second, checked, halves = compact[1]
    assert (first.kept, second.kept, checked.embed_dim, halves.half) == (8, 6, 6, 6)
    assert first.features == 12
    assert net[1][0].kept == 12 and net[1][4].half == 9


class Literal(nn.Module):
    """Code with a number in it, which no int of the module stands for."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(10, 12)
        self.out = nn.Linear(12, 10)
        if keep:
            self.number = 12

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x).view(len(x), -1, 12))


@pytest.mark.parametrize("keep", [True, False])
def test_what_stays_names_the_line_and_the_ints_that_did_not_help(keep: bool) -> None:
    structure = analyze(around(Literal(keep)), torch.randn(2, 5, 7))
    (reason,) = [item.reason for item in structure.pinned if item.name == "1.inner"]
    assert "test_kept_sizes.py" in reason and "in forward" in reason
    assert ("kept as 1.number" in reason) == keep
    assert "1.out" in structure.sizes


class Experts(nn.Module):
    """Experts as one parameter of three dimensions."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.second = (
            nn.Parameter(torch.randn(3, 10, 14)),
            nn.Parameter(torch.randn(3, 14, 10)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "einsum":
            h = torch.einsum("nd,edh->enh", x, self.first).relu()
            return torch.einsum("enh,ehd->nd", h, self.second)
        return (torch.matmul(x, self.first).relu() @ self.second).mean(0)


@pytest.mark.parametrize("how", ["einsum", "matmul"])
def test_hidden_units_of_experts_are_a_group(how: str) -> None:
    torch.manual_seed(0)
    structure, _ = check(around(Experts(how)), torch.randn(5, 7))
    assert sorted(structure.sizes.values()) == [10, 10, 14]


class Windows(nn.Module):
    """Attention with a bias that is looked up in a table by constants of the code."""

    def __init__(self, masked: bool) -> None:
        super().__init__()
        self.masked = masked
        self.q, self.k, self.v = (nn.Linear(10, 24) for _ in range(3))
        self.table = nn.Parameter(torch.randn(9, 4))
        self.register_buffer("places", torch.arange(25) % 9)
        self.out = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            one(x).unflatten(-1, (-1, 6)).transpose(1, 2) for one in (self.q, self.k, self.v)
        )
        bias = self.table[self.places].view(5, 5, -1).permute(2, 0, 1).unsqueeze(0)
        if self.masked:
            bias = bias + torch.zeros(2, 1, 5, 5)
        return self.out(
            F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
        )


@pytest.mark.parametrize("masked", [True, False])
def test_table_of_biases_loses_the_columns_of_its_heads(masked: bool) -> None:
    torch.manual_seed(0)
    structure, compact = check(around(Windows(masked)), torch.randn(2, 5, 7))
    assert structure.sizes["1.q"] == 4
    assert compact[1].table.shape == (9, 2)


class Scaled(nn.Module):
    """Scales channels by values whose shape it keeps, as a tuple of one size and ones."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.scale = shape, nn.Parameter(torch.rand(12) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.view(self.shape)


@pytest.mark.parametrize("shape", [(12, 1, 1), (1, 12, 1, 1)])
def test_a_shape_of_one_size_follows(shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)

    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 12, 1), Scaled(shape), nn.Conv2d(12, 4, 1)).eval()

    structure, compact = check(net := build(), x := torch.randn(2, 3, 5, 5))
    assert structure.sizes == {"0": 12}
    assert compact[1].shape == tuple(8 if size == 12 else size for size in shape)
    assert net[1].shape == shape
    save(compact, tmp_path / "saved")
    assert torch.equal(load(tmp_path / "saved", model=build())(x), compact(x))


def test_a_shape_of_several_sizes_is_left_alone() -> None:
    class Framed(Scaled):
        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale.view(12, 1, 1) + x.new_zeros(self.shape)

    net = nn.Sequential(nn.Conv2d(3, 12, 1), Framed((12, 5, 5)), nn.Conv2d(12, 4, 1)).eval()
    assert "0" not in analyze(net, torch.randn(2, 3, 5, 5)).sizes


class Masked(nn.Module):
    """Attention whose mask has as many rows as there are heads, which no view counts."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.q, self.k, self.v, self.out = (nn.Linear(24, 24) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            one(x).view(*x.shape[:2], -1, 6).transpose(1, 2) for one in (self.q, self.k, self.v)
        )
        near = torch.ones(1, self.heads, x.shape[1], x.shape[1]).tril().log().to(x)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=near, scale=0.4)
        return self.out(y.transpose(1, 2).flatten(2))


def test_heads_that_only_a_mask_counts_go() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(7, 24), Masked(), nn.Linear(24, 3)).eval()
    structure, compact = check(net, torch.randn(2, 5, 7))
    assert structure.sizes["1.q"] == 4
    assert compact[1].heads == 2


class Paths(nn.Module):
    """Splits what it reads at half of a width of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.paths = 12, nn.ModuleList([nn.Linear(6, 5), nn.Linear(6, 5)])

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split(self.width // 2, 1)
        return sum(path(part) for path, part in zip(self.paths, parts, strict=True))


def test_a_width_of_which_parts_are_split_off_follows() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(7, 12), Paths(), nn.Linear(5, 3)).eval()
    structure, compact = check(net, torch.randn(2, 7))
    assert structure.sizes["0"] == 6
    assert compact[1].width == 8
