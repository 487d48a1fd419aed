"""Small networks, data and matrices for the tests of rankings."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.ranking.gram import RegressionConfig
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan

EVERYTHING = RegressionConfig(rows=10**9)


TASK = Classification()


class Net(nn.Module):
    """A network given by its modules and a forward function."""

    def __init__(self, forward: Callable[..., object], **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> object:
        return self.function(self, x)


def plain() -> nn.Module:
    """Conv (no bias, norm) - conv - flatten - linear: every kind of consumer but a shared one."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = F.relu(m.bn(m.a(x)))
        return m.head(F.relu(m.b(x)).flatten(1))

    torch.manual_seed(0)
    return Net(
        forward,
        a=nn.Conv2d(3, 12, 3, padding=1, bias=False),
        bn=nn.BatchNorm2d(12),
        b=nn.Conv2d(12, 10, 3, stride=2, padding=1, bias=False),
        head=nn.Linear(10 * 9, 4),
    ).eval()


def concat() -> nn.Module:
    """Two producers side by side into one convolution with a bias, and a residual stream."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = torch.cat([F.relu(m.a(x)), F.relu(m.b(x))], 1)
        x = F.relu(m.c(x))
        x = F.relu(x + m.e(F.relu(m.d(x))))
        return m.head(x.mean((2, 3)))

    torch.manual_seed(0)
    return Net(
        forward,
        a=nn.Conv2d(3, 6, 3, padding=1),
        b=nn.Conv2d(3, 8, 1),
        c=nn.Conv2d(14, 10, 3, padding=1),
        d=nn.Conv2d(10, 7, 3, padding=1),
        e=nn.Conv2d(7, 10, 3, padding=1),
        head=nn.Linear(10, 4),
    ).eval()


def images(count: int = 48, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(3, 3, generator=generator)
    x = torch.einsum("ij,njhw->nihw", mix, torch.randn(count, 3, 6, 6, generator=generator))
    return Split((x, torch.randint(0, 4, (count,), generator=generator)))


def structure_of(model: nn.Module) -> Structure:
    return analyze(model, torch.randn(2, 3, 6, 6))


def regression(
    net: tuple[nn.Module, Structure], calibration: Split, method: str = "regression"
) -> Ranking:
    return rank(*net, method, task=TASK, calibration=calibration, config=EVERYTHING)


def spd(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows X [4 size, size] of correlated columns, and X'X / rows."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=generator, dtype=torch.float64)
    rows = torch.randn(4 * size, size, generator=generator, dtype=torch.float64) @ mix
    return rows, rows.T @ rows / len(rows)


def residual(rows: Tensor, weights: Tensor, kept: Tensor) -> float:
    """Mean squared error of the best weights on the kept columns, by QR on the rows themselves."""
    target = rows @ weights
    if len(kept) == 0:
        return float(target.square().sum()) / len(rows)
    solved = torch.linalg.lstsq(rows[:, kept], target).solution
    return float((target - rows[:, kept] @ solved).square().sum()) / len(rows)


def output_error(model: nn.Module, ranking: Ranking, plan: Plan, path: str, data: Split) -> float:
    """Squared error of one module's output / its variance, its input as in the dense model."""
    seen: list[Tensor] = []
    module = model.get_submodule(path)
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model(data.content[0])
    handle.remove()
    tensors = {f"{path}.{name}": value for name, value in module.named_parameters()}
    tensors |= {name: value for name, value in ranking.weights(plan).items() if name in tensors}
    own = {name.removeprefix(f"{path}."): value for name, value in tensors.items()}
    with torch.no_grad():
        before = module(seen[0]).movedim(1, -1).reshape(-1, module.weight.shape[0])
        after = torch.func.functional_call(module, own, seen[0]).movedim(1, -1)
    error = (after.reshape(before.shape) - before).square().sum()
    return float(error / (before - before.mean(0)).square().sum())
