"""Copies: hooks stay with the user's network, a compiled network is unwrapped."""

import functools

import pytest
import torch
from torch import Tensor, nn

from autoprune.errors import UsageError
from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.plan import Plan

SEEN: list[object] = []


def note_globally(module: nn.Module, args: object, output: Tensor) -> None:
    SEEN.append(output)


def note_in(where: list[object], module: nn.Module, args: object, output: Tensor) -> None:
    where.append(output)


class Watched(nn.Module):
    """Three layers; ``features`` is filled by whatever hooks are set."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 8), nn.Linear(8, 6), nn.Linear(6, 2)
        self.features: list[object] = []
        self.calls = 0

    def keep(self, module: nn.Module, args: object, output: Tensor) -> None:
        self.features.append(output)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.b(self.a(x).relu()).relu())


def watched(kind: str) -> Watched:
    net = Watched().eval()
    if kind == "lambda":
        net.b.register_forward_hook(lambda m, i, o: net.features.append(o))
    elif kind == "bound":
        net.b.register_forward_hook(net.keep)
    elif kind == "global":
        net.b.register_forward_hook(note_globally)
    elif kind == "partial":
        net.b.register_forward_hook(functools.partial(note_in, net.features))
    elif kind == "before":
        net.b.register_forward_pre_hook(lambda m, i: net.features.extend(i))
    return net


@pytest.mark.parametrize("kind", ["lambda", "bound", "global", "partial", "before"])
def test_hooks_see_nothing_of_the_work(kind: str) -> None:
    net, x = watched(kind), torch.randn(3, 4)
    SEEN.clear()
    net(x)
    before = [*net.features, *SEEN]
    assert len(before) == 1
    structure = analyze(net, x)
    assert structure.sizes == {"a": 8, "b": 6}
    assert verify(net, structure, x).ok
    plan = Plan.uniform(structure, 0.5)
    for made in (prune(net, structure, plan), mask(net, structure, plan)):
        made(x)
    assert [id(item) for item in [*net.features, *SEEN]] == [id(item) for item in before]
    net(x)
    assert len([*net.features, *SEEN]) == 2


def test_hook_that_changes_the_output_is_refused_by_name() -> None:
    net = Watched()
    net.b.register_forward_hook(lambda m, i, o: o * 2)
    with pytest.raises(UsageError, match=r"forward hooks on b \(remove them"):
        analyze(net, torch.randn(3, 4))


def test_hook_that_makes_a_weight_is_refused() -> None:
    """The weight it made last is still there without it, so that nothing changes at first."""
    net = Watched()

    def scale(module: nn.Module, args: object) -> None:
        module.weight = module.direction * 2

    net.b.direction = nn.Parameter(net.b.weight.detach().clone())
    del net.b._parameters["weight"]
    net.b.weight = net.b.direction.detach() * 2
    net.b.register_forward_pre_hook(scale)
    with pytest.raises(UsageError, match="forward hooks on b"):
        analyze(net, torch.randn(3, 4))


class Reading(Watched):
    """A network that returns what its hook kept."""

    def __init__(self) -> None:
        super().__init__()
        self.a.register_forward_hook(self.keep)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.features.clear()
        out = super().forward(x)
        return out, self.features[0]


def test_network_that_reads_what_its_hooks_keep_is_refused() -> None:
    with pytest.raises(UsageError, match="forward hooks on a"):
        analyze(Reading(), torch.randn(3, 4))


def test_compiled_network_is_unwrapped() -> None:
    net, x = Watched().eval(), torch.randn(3, 4)
    compiled = torch.compile(net, backend="eager")
    structure = analyze(compiled, x)
    assert structure == analyze(net, x)
    assert verify(compiled, structure, x).ok
    plan = Plan.uniform(structure, 0.5)
    small = prune(compiled, structure, plan)
    assert isinstance(small, Watched) and small.a.out_features == 4
    assert isinstance(mask(compiled, structure, plan), Watched)


def test_empty_container_counts_as_a_network() -> None:
    class Bag(Watched):
        def __len__(self) -> int:
            return 0

    assert analyze(Bag(), torch.randn(3, 4)).sizes == {"a": 8, "b": 6}
