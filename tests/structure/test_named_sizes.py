"""Ints that the user names follow the plan, wherever they are; what cannot be set is said."""

import pytest
import torch
from torch import Tensor, nn

from autoprune.errors import UsageError
from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.plan import Plan


class Memory(nn.Module):
    """Keeps sizes for others, which autoprune does not look for here."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.rate, self.names = width, 0.5, ["a"]

    @property
    def double(self) -> int:
        return 2 * self.width


class Block(nn.Module):
    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(7, memory.width), nn.Linear(memory.width, 7)
        self.held = [memory]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(x).relu().view(len(x), self.held[0].width))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.ModuleList([Memory(12), Memory(10)])
        self.blocks = nn.ModuleList([Block(one) for one in self.memory])
        self.last = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block, memory in zip(self.blocks, self.memory, strict=True):
            block.held = [memory]  # a copy of the network brings copies of them
            x = block(x)
        return self.last(x)


X = torch.randn(4, 7)


@pytest.mark.parametrize(
    ("names", "free"),
    [
        ((), set()),
        (("memory.0.width",), {"blocks.0.up"}),
        (("memory.*.width",), {"blocks.0.up", "blocks.1.up"}),
        (("memory.*",), {"blocks.0.up", "blocks.1.up"}),
    ],
)
def test_named_ints_free_what_their_code_pins(names: tuple[str, ...], free: set[str]) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    structure = analyze(net, X, sizes=names)
    assert set(structure.sizes) & {"blocks.0.up", "blocks.1.up"} == free
    assert verify(net, structure, X).ok
    plan = Plan.uniform(structure, 0.5)
    compact = prune(net, structure, plan)
    torch.testing.assert_close(compact(X), mask(net, structure, plan)(X))
    widths = [memory.width for memory in compact.get_submodule("memory")]
    assert widths == [6 if "blocks.0.up" in free else 12, 5 if "blocks.1.up" in free else 10]


class Unread(nn.Module):
    """Keeps a size that its own forward pass does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.hidden = nn.Linear(7, 12), nn.Linear(12, 3), 12

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


def test_a_named_int_is_set_where_nothing_reads_it() -> None:
    net = Unread()
    found = analyze(net, X)
    assert prune(net, found, Plan.uniform(found, 0.5)).hidden == 12
    named = analyze(net, X, sizes="hidden")
    assert prune(net, named, Plan.uniform(named, 0.5)).hidden == 6


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("memory.0.double", "memory.0.double cannot be set: it is a property", "as an int"),
        ("memory.0.names", "memory.0.names cannot be set: it holds list", "as an int"),
        ("last.weight", "last.weight cannot be set: it holds Parameter", "as an int"),
        ("memory.0.widht", "no attribute 'memory.0.widht'", "did you mean memory.0.width"),
    ],
)
def test_what_cannot_be_set_is_named(name: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        analyze(Net(), X, sizes=[name])
    assert hint in raised.value.hint


def test_an_int_that_is_no_size_of_anything_prunable_is_said() -> None:
    net = Unread()
    net.hidden = 5
    with pytest.raises(UsageError, match="hidden is 5, and nothing"):
        analyze(net, X, sizes=["hidden"])
