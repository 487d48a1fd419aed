"""Parts of a layer's units, and constants that units meet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autoprune.problem.prune import prune
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.plan import Plan
from autoprune.structure.table import Structure


def proved(net: nn.Module, x: Tensor) -> Structure:
    structure = analyze(net.eval(), x)
    assert verify(net, structure, x).ok
    return structure


def free(structure: Structure) -> set[tuple[str, int]]:
    return {(group.name, group.size) for group in structure.groups}


class Thirds(nn.Module):
    """Channels in three parts, the last of which is shorter, each with a layer of its own."""

    def __init__(self, width: int = 11) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3)
        size = -(-width // 3)
        parts = (size, size, width - 2 * size)
        self.inner = nn.ModuleList(nn.Conv2d(one, 4, 1) for one in parts)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.first(x).relu().chunk(3, 1)
        return sum(layer(part) for layer, part in zip(self.inner, parts, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize(("width", "parts"), [(11, {3, 1}), (10, {2}), (12, {4})])
def test_parts_lose_the_places_that_all_have(width: int, parts: set[int]) -> None:
    torch.manual_seed(0)
    net, x = Thirds(width), torch.randn(2, 3, 8, 8)
    structure = proved(net, x)
    sizes = {group.size for group in structure.groups}
    assert sizes == {one for one in parts if one > 1}
    compact = prune(net, structure, Plan.uniform(structure, 0.5))
    widths = [layer.in_channels for layer in compact.inner]  # type: ignore[union-attr]
    assert widths[0] == widths[1] >= widths[2] > 0 and sum(widths) < width
    assert compact(x).shape == net(x).shape


class Split(nn.Module):
    """Units that are split at two sizes, of the code or of the module."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.layer, self.own = nn.Linear(4, 16), own
        self.gate, self.value = 6, 10
        self.heads = nn.ModuleList([nn.Linear(6, 3), nn.Linear(10, 3)])

    def forward(self, x: Tensor) -> Tensor:
        sizes = [self.gate, self.value] if self.own else [6, 10]
        left, right = self.layer(x).relu().split(sizes, -1)
        return self.heads[0](left) * self.heads[1](right)


def test_parts_of_two_sizes_follow_where_the_module_keeps_these() -> None:
    torch.manual_seed(0)
    net, x = Split(own=True), torch.randn(2, 4)
    structure = proved(net, x)
    assert {size for _, size in free(structure)} == {6, 10}
    compact = prune(net, structure, Plan.uniform(structure, 0.5))
    assert (compact.gate, compact.value, compact.layer.out_features) == (3, 5, 8)  # type: ignore[union-attr]


def test_parts_of_two_sizes_in_the_code_stay() -> None:
    structure = proved(Split(own=False), torch.randn(2, 4))
    assert not structure.groups
    assert all("fails" in one.reason for one in structure.pinned if one.size in (6, 10))


class Scan(nn.Module):
    """A state-space layer: units scale a learned table, and a state starts at zero."""

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 12), nn.Linear(12, 3)
        self.states = nn.Linear(12, 5)
        self.decay = nn.Parameter(torch.rand(12, 5))
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).sigmoid()
        written = self.states(hidden)
        width = 12 if self.size == 0 else hidden.shape[-1]
        state = torch.zeros(hidden.shape[0], width, 5)
        seen = []
        for place in range(hidden.shape[1]):
            step = hidden[:, place, :, None]
            state = torch.exp(-self.decay * step) * state + step * written[:, place, None, :]
            seen.append((state @ written[:, place, :, None])[..., 0])
        return self.last(torch.stack(seen, 1))


def test_units_of_a_scan_go_with_the_rows_of_its_table() -> None:
    torch.manual_seed(0)
    net, x = Scan(), torch.randn(2, 3, 4)
    structure = proved(net, x)
    assert free(structure) == {("first", 12)}
    compact = prune(net, structure, Plan.uniform(structure, 0.5))
    assert compact.decay.shape == (6, 5) and compact.states.out_features == 5  # type: ignore[union-attr]


def test_a_state_whose_size_is_a_number_of_the_code_keeps_the_units() -> None:
    structure = proved(Scan(0), torch.randn(2, 3, 4))
    assert not structure.groups
    assert any("fails when smaller" in one.reason for one in structure.pinned)


class Shifted(nn.Module):
    """Units that meet what depends on their place."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[1]) + torch.ones(x.shape[1])


def test_a_constant_that_differs_between_units_keeps_them() -> None:
    net = nn.Sequential(nn.Linear(4, 8), Shifted(), nn.Linear(8, 2))
    assert not proved(net, torch.randn(2, 4)).groups
