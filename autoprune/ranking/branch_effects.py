"""Effects of branches: what each gives out on average, and what the loss rises by without it.

The constant in the place of a branch is the mean of its value over samples and positions, which
keeps the mean of all that follows. The rise of the loss when the branch alone goes is measured: no
curve of a part of it predicts what it costs to lose all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.data import Samples
from autoprune.data.task import PerSampleTask, Task
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, forward, mode
from autoprune.networks.padding import rows_of, tokens_in
from autoprune.ranking.ordering import Curve, Ranking
from autoprune.ranking.recalibration import Recalibration
from autoprune.structure.depth import optional
from autoprune.structure.removal import SUMS
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Branch, Structure


@dataclass(frozen=True)
class EffectConfig:
    """Settings of the measurement: how much data it takes."""

    samples: int = 512
    """Most samples that losses are measured on."""
    batch: int = 64
    """Samples of one pass."""


DEFAULT: Final = EffectConfig()


def with_branches(
    ranking: Ranking,
    model: nn.Module,
    structure: Structure,
    task: Task | None = None,
    calibration: Samples | None = None,
    config: EffectConfig = DEFAULT,
) -> Ranking:
    """Return a ranking that knows the branches of a structure, too.

    With data, the error of losing one is the measured rise of the loss, and its mean is left in its
    place; without, it is that of losing all units in it, and nothing is left.
    """
    branches = optional(structure)
    if not branches:
        return ranking
    if task is None or calibration is None or not ranking.repairs:
        rises = {branch.name: _whole(branch, ranking.errors) for branch in branches}
        constants: dict[str, Tensor] = {}
    else:
        samples = calibration.take(min(config.samples, len(calibration)))
        batches = Batches(samples, config.batch, model, Form(), seed=0)
        constants = mean_values(model, branches, task, batches)
        rises = loss_rises(model, structure, branches, task, batches, constants)
    return replace(
        ranking,
        orders={**ranking.orders, **{branch.name: torch.arange(1) for branch in branches}},
        errors={**ranking.errors, **{name: np.array([rise, 0.0]) for name, rise in rises.items()}},
        branches=branches,
        constants=constants,
    )


def mean_values(
    model: nn.Module, branches: Sequence[Branch], task: Task, batches: Batches
) -> dict[str, Tensor]:
    """Return the mean of each branch's value by the name of its constant, [units] each."""
    sums = {branch.removal.constant: _Mean() for branch in branches}
    with ExitStack() as stack, torch.no_grad(), mode(model, train=False):
        for branch in branches:
            followed = _followed(branch, sums[branch.removal.constant])
            last = model.get_submodule(branch.removal.modules[-1])
            stack.callback(last.register_forward_hook(partial(_follow, followed)).remove)
        for batch in batches:
            forward(model, task, batch, batches.form)
    return {name: mean.value() for name, mean in sums.items() if mean.count}


def loss_rises(
    model: nn.Module,
    structure: Structure,
    branches: Sequence[Branch],
    task: Task,
    batches: Batches,
    constants: Mapping[str, Tensor],
) -> dict[str, float]:
    """Return by how much the loss rises when each branch alone goes, at least 0.

    Batch statistics follow (:mod:`autoprune.ranking.recalibration`).
    """
    slicer = Slicer(model, structure)
    recalibrate = Recalibration(slicer({}), task, batches)
    weights = {**constants, **recalibrate.references}
    dense = _loss(slicer({}), task, batches)
    rises = {}
    for branch in branches:
        net = slicer({branch.name: torch.arange(0)}, weights)
        recalibrate(net)
        rises[branch.name] = max(_loss(net, task, batches) - dense, 0.0)
    return rises


@dataclass
class _Mean:
    """Running mean over everything but the units and padding."""

    total: Tensor | None = None
    count: int = 0

    def add(self, value: Tensor, dim: int) -> None:
        value = value.detach().movedim(dim, -1)
        if tokens_in(value) is not None:
            value = rows_of(value)
        sums = value.double().sum(list(range(value.dim() - 1)))
        self.total = sums if self.total is None else self.total + sums
        self.count += value.numel() // value.shape[-1]

    def value(self) -> Tensor:
        assert self.total is not None  # noqa: S101 (asked for only where something was added)
        return (self.total / self.count).float()


class _Followed(Tensor):
    """Value of a branch on its way to the addition that brings it back."""

    note: Callable[[Tensor], None]

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Carry out an operation; at an addition of two values, note those that are followed."""
        operands = [leaf for leaf in args[:2] if isinstance(leaf, Tensor)]
        if func in SUMS and len(operands) == 2 and operands[0].dim() == operands[1].dim():
            for one in operands:
                if isinstance(one, _Followed):
                    type(one).note(_plain(one))
            return func(*map(_plain, args), **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]


def _plain(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, _Followed) else value


def _followed(branch: Branch, mean: _Mean) -> type[_Followed]:
    """Return the class of the values of one branch."""
    removal = branch.removal

    def note(value: Tensor) -> None:
        if value.dim() == removal.rank and value.shape[removal.dim] == branch.size:
            mean.add(value, removal.dim)

    return type("_Followed", (_Followed,), {"note": staticmethod(note)})


def _follow(kind: type[_Followed], module: nn.Module, args: Any, output: Any) -> Any:
    return tree_map(
        lambda leaf: leaf.as_subclass(kind) if isinstance(leaf, Tensor) else leaf, output
    )


@torch.no_grad()
def _loss(net: nn.Module, task: Task, batches: Batches) -> float:
    """Mean loss over samples."""
    total, count = 0.0, 0
    with mode(net, train=False):
        for batch in batches:
            outputs, size = forward(net, task, batch, batches.form), len(tree_leaves(batch)[0])
            if isinstance(task, PerSampleTask):
                total += float(task.losses(outputs, batch).double().sum())
            else:
                total += float(task.loss(outputs, batch)) * size
            count += size
    return total / max(count, 1)


def _whole(branch: Branch, errors: Mapping[str, Curve]) -> float:
    """Error of losing all units of all groups in a branch; of one that has none, a whole one."""
    inside = [float(errors[name][0]) for name in branch.groups if name in errors]
    return sum(inside) if inside else 1.0
