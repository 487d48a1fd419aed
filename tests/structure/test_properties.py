"""Random networks, random plans: cost equals count, compact equals masked, budgets hold."""

import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.errors import InfeasibleError
from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.plan import Plan

MANY = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


class RandomNet(nn.Module):
    """A chain of blocks drawn from a seed; each takes and gives a number of channels."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.steps: list[tuple[Callable[..., Tensor], tuple[str, ...]]] = []
        width = self.plain(3, draw.choice([4, 6, 8]))
        for _ in range(draw.randint(1, 4)):
            block = draw.choice(
                [self.plain, self.residual, self.depthwise, self.concat, self.grouped,
                 self.chunked, self.gated, self.padded]
            )  # fmt: skip
            width = block(width, draw.choice([4, 6, 8, 12]))
        self.flat = draw.random() < 0.5
        self.head = self.layer(nn.Linear(width * (16 if self.flat else 1), 5))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean):
                    nn.init.uniform_(tensor, 0.5, 1.5)

    def layer(self, module: nn.Module) -> str:
        name = f"m{len(self._modules)}"
        self.add_module(name, module)
        return name

    def conv(self, i: int, o: int, k: int = 3, groups: int = 1) -> str:
        convolution = nn.Conv2d(i, o, k, padding=k // 2, groups=groups, bias=o % 4 == 0)
        return self.layer(nn.Sequential(convolution, nn.BatchNorm2d(o)))

    def step(self, function: Callable[..., Tensor], *names: str) -> None:
        # Modules by name, not by closure: a copy of the network must use its own.
        self.steps.append((function, names))

    def plain(self, i: int, o: int) -> int:
        self.step(lambda x, a: F.relu(a(x)), self.conv(i, o))
        return o

    def residual(self, i: int, o: int) -> int:
        a, b = self.conv(i, o), self.conv(o, i, 1)
        self.step(lambda x, a, b: F.relu(x + b(F.relu(a(x)))), a, b)
        return i

    def depthwise(self, i: int, o: int) -> int:
        a, b = self.conv(i, 2 * i, groups=i), self.conv(2 * i, o, 1)
        self.step(lambda x, a, b: F.relu(b(F.relu6(a(x)))), a, b)
        return o

    def concat(self, i: int, o: int) -> int:
        a, b = self.conv(i, o), self.conv(i, 4, 1)
        self.step(lambda x, a, b: torch.cat([a(x), x, b(x)], 1), a, b)
        return i + o + 4

    def grouped(self, i: int, o: int) -> int:
        a, b = self.conv(i, 12), self.conv(12, o, groups=2)
        self.step(lambda x, a, b: F.relu(b(F.relu(a(x)))), a, b)
        return o

    def chunked(self, i: int, o: int) -> int:
        a, b = self.conv(i, 2 * o), self.conv(o, o)
        self.step(lambda x, a, b: (lambda p, q: b(p) + 3 * q)(*a(x).chunk(2, 1)), a, b)
        return o

    def gated(self, i: int, o: int) -> int:
        def gate(x: Tensor, a: nn.Module, down: nn.Module, up: nn.Module) -> Tensor:
            x = a(x)
            return x * torch.sigmoid(up(F.relu(down(F.adaptive_avg_pool2d(x, 1)))))

        self.step(gate, self.conv(i, o), self.conv(o, 4, 1), self.conv(4, o, 1))
        return o

    def padded(self, i: int, o: int) -> int:
        def pad(x: Tensor, a: nn.Module) -> Tensor:
            return F.relu(a(x) + F.pad(x, (0, 0, 0, 0, 2, 2)))

        self.step(pad, self.conv(i, i + 4))
        return i + 4

    def forward(self, x: Tensor) -> Tensor:
        for function, names in self.steps:
            x = function(x, *(self.get_submodule(name) for name in names))
        x = F.adaptive_avg_pool2d(x, 4)
        return self.get_submodule(self.head)(x.flatten(1) if self.flat else x.mean((2, 3)))


def made(seed: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(seed)
    return RandomNet(seed).eval(), torch.randn(2, 3, 8, 8)


@MANY
@given(seed=st.integers(0, 10**6), data=st.data())
def test_any_plan_on_any_net(seed: int, data: st.DataObject) -> None:
    model, inputs = made(seed)
    structure = analyze(model, inputs)
    keep = {
        group.name: data.draw(st.integers(1, group.size), label=group.name)
        for group in structure.groups
    }
    plan, cost = Plan.of(keep), CostModel(structure)
    compact, masked = prune(model, structure, plan), mask(model, structure, plan)
    with torch.no_grad():
        scale = float(masked(inputs).abs().max())
        assert float((compact(inputs) - masked(inputs)).abs().max()) <= 1e-5 * max(1.0, scale)
        with FlopCounterMode(display=False) as counter:
            compact(inputs)
    assert cost.macs(plan) == counter.get_total_flops() // 2 // len(inputs)
    assert cost.parameters(plan) == sum(p.numel() for p in compact.parameters())


@MANY
@given(seed=st.integers(0, 10**6))
def test_nothing_is_pinned_without_need(seed: int) -> None:
    """In these networks only the output and zero padding are fixed."""
    model, inputs = made(seed)
    structure = analyze(model, inputs)
    found = verify(model, structure, inputs)
    assert found.ok and found.permutation_error < 1e-6 and found.mask_error < 1e-6
    for item in structure.pinned:
        assert item.reason in ("model output", "zero padding across units"), item


@MANY
@given(
    seed=st.integers(0, 10**6),
    fraction=st.floats(0.05, 1.0),
    unit=st.sampled_from(["flops", "macs", "params"]),
)
def test_budget_is_never_exceeded_and_nearly_used_up(seed: int, fraction: float, unit: str) -> None:
    model, inputs = made(seed)
    structure = analyze(model, inputs)
    cost = CostModel(structure)
    try:
        budget = Budget.parse(f"{fraction:.4f}{unit}").bind(cost)
    except InfeasibleError:
        smallest = Plan.of(dict.fromkeys(structure.sizes, 1))
        measure = cost.parameters if unit == "params" else cost.macs
        assert measure(smallest) > float(f"{fraction:.4f}") * measure.dense
        return
    plan = budget.uniform()
    measure = cost.parameters if unit == "params" else cost.macs
    limit = float(f"{fraction:.4f}") * measure.dense
    assert measure(plan) <= limit + 1e-6
    for name, size in structure.sizes.items():
        if plan[name] < size:
            assert measure(Plan.of({**plan, name: plan[name] + 1})) > limit - 1e-6
