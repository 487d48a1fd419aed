"""Heads of attention, and widths that the code takes from a module's input."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.problem.prune import mask, prune
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.kept_norms import KeptUnits
from autoprune.structure.plan import Plan

X = (2, 5, 7)


def around(*middle: nn.Module, width: int = 24) -> nn.Module:
    net = nn.Sequential(nn.Linear(7, width), *middle, nn.Linear(width, 3))
    for parameter in net.parameters():
        parameter.data.add_(0.1 * torch.rand(parameter.shape))
    return net.eval()


def check(net: nn.Module, keep: float = 0.5) -> tuple[Structure, nn.Module]:
    """Prune, and compare with the masked network whose norms count kept units."""
    torch.manual_seed(0)
    x = torch.randn(X)
    structure = analyze(net, x)
    assert verify(net, structure, x).ok
    plan = Plan.uniform(structure, keep)
    compact, masked = prune(net, structure, plan), mask(net, structure, plan)
    with KeptUnits() as dense:
        net(x)
    with KeptUnits(dense):
        expected = masked(x)
    assert torch.allclose(compact(x), expected, atol=1e-5)
    return structure, compact


class Block(nn.Module):
    """A residual block of attention that writes the width of its input."""

    def __init__(self, heads: int, rows: int = -1, norm: bool = True) -> None:
        super().__init__()
        self.heads, self.rows = heads, rows
        self.norm = nn.LayerNorm(24) if norm else nn.Identity()
        self.qkv, self.out = nn.Linear(24, 72), nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        samples, places, width = x.shape
        each = -1 if self.rows < 0 else width // self.heads
        split = self.qkv(self.norm(x)).reshape(samples, places, 3, self.heads, each)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).reshape(samples, places, width))


@pytest.mark.parametrize("rows", [-1, 0])
@pytest.mark.parametrize("norm", [True, False])
def test_heads_and_the_width_go_together_where_the_code_writes_the_inputs_width(
    rows: int, norm: bool
) -> None:
    torch.manual_seed(0)
    structure, compact = check(around(Block(4, rows, norm), Block(4, rows, norm)))
    assert structure.sizes == {"0": 4}
    assert compact[0].out_features == 12 and compact[1].qkv.weight.shape == (36, 12)
    assert compact[1].heads == compact[2].heads == 2


def test_heads_of_a_wrong_number_do_not_pass_behind_a_norm() -> None:
    """The width goes, but ``heads`` cannot: it is read from a table of settings."""

    class Stubborn(Block):
        settings = {"heads": 4}  # noqa: RUF012

        @property
        def heads(self) -> int:
            return self.settings["heads"]

        @heads.setter
        def heads(self, value: int) -> None:
            pass

    torch.manual_seed(0)
    structure = analyze(around(Stubborn(4)), torch.randn(X))
    assert not structure.groups


@pytest.mark.parametrize("first", [True, False])
def test_layers_of_torch_lose_heads_with_their_width(first: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(24, 4, 32, batch_first=True, norm_first=first, dropout=0.0)
    structure, compact = check(around(layer, nn.TransformerEncoderLayer(24, 4, 32, 0.0)))
    assert structure.sizes["0"] == 4 and structure.sizes["1.linear1"] == 32
    attention = compact[1].self_attn
    assert (attention.num_heads, attention.embed_dim, attention.head_dim) == (2, 12, 6)
    assert attention.in_proj_weight.shape == (36, 12)


class Joined(nn.Module):
    """Attention whose bias is put together from parts, as the keys have none."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.weight = 4, nn.Parameter(torch.randn(72, 24))
        self.q, self.v = nn.Parameter(torch.randn(24)), nn.Parameter(torch.randn(24))
        self.register_buffer("k", torch.zeros(24))
        self.out = nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q, self.k, self.v])
        split = F.linear(x, self.weight, bias).reshape(*x.shape[:2], 3, self.heads, 6)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        return self.out((q @ k.mT).softmax(-1).matmul(v).transpose(1, 2).flatten(2))


def test_a_bias_of_parts_is_cut_with_the_weight() -> None:
    torch.manual_seed(0)
    structure, compact = check(around(Joined()))
    assert sorted(structure.sizes.values()) == [4, 24, 24]
    assert compact[1].q.shape == compact[1].k.shape == (12,)


class Written(nn.Module):
    """A linear layer that keeps its output size, as some language models have it."""

    def __init__(self, out: int, inside: int) -> None:
        super().__init__()
        self.size = out
        self.weight, self.bias = (
            nn.Parameter(torch.randn(inside, out)),
            nn.Parameter(torch.rand(out)),
        )

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], self.size)


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = Written(40, 24), Written(24, 40)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(x).relu())


def test_a_width_that_many_modules_keep_follows_in_all_of_them() -> None:
    torch.manual_seed(0)
    structure, compact = check(around(*(Perceptron() for _ in range(5))))
    assert sorted(structure.sizes.values()) == [24, *[40] * 5]
    assert {block.down.size for block in compact[1:-1]} == {12}
    assert {block.up.size for block in compact[1:-1]} == {20}


class Merged(nn.Module):
    """Attention whose heads are merged with the samples; it scales by the size it finds."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        x = x.view(*x.shape[:2], self.heads, -1).permute(0, 2, 1, 3).contiguous()
        return x.view(-1, x.shape[2], x.shape[3])

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.split(layer(x)) for layer in self.layers[:3])
        scores = torch.bmm(q, k.transpose(-1, -2) / q.shape[-1] ** 0.5)
        y = torch.bmm(scores.softmax(-1), v).view(x.shape[0], self.heads, x.shape[1], -1)
        return x + self.layers[3](y.permute(0, 2, 1, 3).flatten(2))


def test_heads_that_are_merged_with_the_samples_go_whole() -> None:
    torch.manual_seed(0)
    structure, compact = check(around(Merged(4)))
    assert structure.sizes["1.layers.0"] == 4 and structure.sizes["0"] == 24
    assert compact[1].heads == 2 and compact[1].layers[0].out_features == 12
