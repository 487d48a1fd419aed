"""Branches: what is found, what is left when they go, and that nothing runs in their place."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoprune.networks import zoo
from autoprune.networks.save import load, save
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.depth import deepened
from autoprune.structure.removal import Gone, Removed
from autoprune.structure.slicing import Slicer


class Block(nn.Module):
    """Residual block that adds in place and projects its shortcut."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Conv2d(inner, outer, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return self.relu(out)


class Residual(nn.Module):
    """Two residual blocks, the second of which halves the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = Block(8, 8, 1), Block(8, 12, 2)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.one(F.relu(self.stem(x))))
        return self.head(x.mean((2, 3)))


class Sublayers(nn.Module):
    """Attention and an MLP beside each other, added at once; scaled and rolled in between."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(5, 8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.scale = nn.Parameter(torch.rand(8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        seen = self.norm(x)
        attended, _ = self.attention(seen, seen, seen, need_weights=False)
        batch, length, width = attended.shape
        attended = attended.view(batch, length, width).roll(1, 1) * self.scale
        return self.head((x + attended + self.mlp(seen)).mean(1))


class Shared(nn.Module):
    """A branch whose layer the head uses, too: it cannot go."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layer, self.head = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.layer(x + F.relu(self.layer(x))))


NETWORKS: dict[type[nn.Module], Tensor] = {
    Residual: torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
    Sublayers: torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)),
}


def _made(kind: type[nn.Module]) -> tuple[nn.Module, Tensor, Structure]:
    torch.manual_seed(1)
    model, x = kind().eval(), NETWORKS[kind]
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.5, 0.5)
    return model, x, deepened(analyze(model, x))


def _without(structure: Structure, *names: str) -> dict[str, Tensor]:
    return {name: torch.arange(0) for name in names}


@pytest.mark.parametrize(
    ("kind", "names"),
    [(Residual, {"one", "two"}), (Sublayers, {"attention", "mlp"}), (Shared, set())],
)
def test_branches_are_found(kind: type[nn.Module], names: set[str]) -> None:
    structure = analyze(kind().eval(), NETWORKS.get(kind, NETWORKS[Sublayers]))
    assert {branch.name for branch in structure.branches} == names


def test_a_network_without_branches_has_none() -> None:
    structure = analyze(zoo.build("lenet-300-100").eval(), torch.randn(2, 1, 28, 28))
    assert structure.branches == ()
    assert deepened(structure) is structure


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("training", [False, True])
def test_what_is_left_equals_the_dense_network_with_a_constant(
    kind: type[nn.Module], training: bool
) -> None:
    model, x, structure = _made(kind)
    branch = structure.branches[0]
    constant = torch.randn(branch.size)
    kept = _without(structure, branch.name)
    left = Slicer(model, structure).build(kept, {branch.removal.constant: constant})
    reference = copy.deepcopy(model)
    path = branch.removal.modules[-1]
    shape = (1, -1, 1, 1) if kind is Residual else (1, 1, -1)
    scale = model.scale if path == "attention" else 1  # type: ignore[attr-defined]

    def put(module: nn.Module, args: Any, output: Any) -> Any:
        whole = output[0] if isinstance(output, tuple) else output
        value = (constant / scale).view(shape).expand(whole.shape).clone()
        return (value, None) if isinstance(output, tuple) else value

    reference.get_submodule(path).register_forward_hook(put)
    torch.manual_seed(2)
    expected = reference.train(training)(x)
    torch.manual_seed(2)
    assert torch.allclose(left.train(training)(x), expected, atol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_nothing_of_a_branch_is_left(kind: type[nn.Module]) -> None:
    model, x, structure = _made(kind)
    names = [branch.name for branch in structure.branches]
    left = Slicer(model, structure).build(_without(structure, *names))
    gone = {tensor for branch in structure.branches for tensor in branch.tensors}
    assert gone.isdisjoint(left.state_dict())
    counts = dict.fromkeys(structure.sizes, 1) | structure.sizes | dict.fromkeys(names, 0)
    parameters = sum(one.numel(counts) for one in structure.tensors if one.is_parameter)
    assert parameters == sum(one.numel() for one in left.parameters())
    program = torch.export.export(left, (x,))
    operators = [node.name for node in program.graph.nodes if node.op == "call_function"]
    heavy = [name for name in operators if name.startswith(("conv", "linear", "scaled", "roll"))]
    assert len(heavy) == (3 if kind is Residual else 2)


@pytest.mark.parametrize("kind", NETWORKS)
def test_units_and_branches_go_together_and_come_back(kind: type[nn.Module]) -> None:
    model, x, structure = _made(kind)
    slicer, dense = Slicer(model, structure), model(x)
    half = {group.name: torch.arange(0, group.size, 2) for group in structure.groups}
    branch = structure.branches[-1]
    constant = {branch.removal.constant: torch.randn(branch.size)}
    kept = half | _without(structure, branch.name)
    built = slicer.build(kept, constant)
    assert torch.allclose(slicer(kept, constant)(x), built(x), atol=1e-6)
    assert torch.allclose(slicer({})(x), dense, atol=1e-6)
    assert sum(isinstance(one, Removed) for one in built.modules()) == len(branch.removal.modules)


@pytest.mark.parametrize("kind", NETWORKS)
def test_saved_and_loaded_without_pickle(kind: type[nn.Module], tmp_path: Any) -> None:
    model, x, structure = _made(kind)
    branch = structure.branches[0]
    half = {group.name: torch.arange(0, group.size, 2) for group in structure.groups}
    kept = half | _without(structure, branch.name)
    small = Slicer(model, structure).build(kept, {branch.removal.constant: torch.ones(branch.size)})
    save(small, tmp_path / "small")
    assert torch.equal(load(tmp_path / "small", model=kind())(x), small(x))
    again = deepened(analyze(small, x))
    other = again.branches[0]
    assert other.name != branch.name
    smaller = Slicer(small, again).build(
        {group.name: torch.arange(group.size - 1) for group in again.groups if group.size > 2}
        | _without(again, other.name)
    )
    save(smaller, tmp_path / "smaller")
    assert torch.equal(load(tmp_path / "smaller", model=kind())(x), smaller(x))


def test_a_value_that_is_gone_answers_everything_with_itself() -> None:
    x = torch.randn(2, 3)
    gone = Gone(x, torch.ones(3))
    assert F.relu(gone).view(6)[0].transpose(0, 1) is gone
    assert gone.shape == x.shape and gone.dtype == x.dtype and len(gone) == 2
    for total in (x + gone, gone + x, torch.add(x, gone), x.clone().add_(gone)):
        assert torch.equal(total, x + 1)
    added = x.clone()
    added += gone
    assert torch.equal(added, x + 1)
    assert torch.equal(x + (gone + gone), x + 2)
    first = Gone(x)  # one of several modules of a branch; the last holds the constant
    assert torch.equal(x + (first + gone), x + 1)
    assert torch.equal(x + (gone + first), x + 1)


class Parallel(nn.Module):
    """Several convolutions beside a norm, added one after another, as in MobileOne."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.identity = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.small = nn.Conv2d(8, 8, 1)
        self.large = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        out = self.small(x)
        for one in self.large:
            out += one(x)
        out += self.identity(x)
        return self.head(out.relu())


def test_modules_that_are_summed_go_together_and_alone() -> None:
    torch.manual_seed(0)
    structure = analyze(Parallel().eval(), torch.randn(2, 3, 8, 8))
    modules = {branch.removal.modules for branch in structure.branches}
    assert {("small",), ("large.0",), ("large.1",), ("small", "large.0", "large.1")} <= modules
