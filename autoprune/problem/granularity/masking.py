"""Rankings of single weights, and the masks of plans.

Weights are removed by magnitude: the smallest of a tensor first (``weight``), or the smallest of
each block, row by row (``n:m``). Of equal ones the later is removed first, so a mask depends on the
weights alone. The order is stored as the *stage* of every weight, the least count at which it
stays, so the mask of any plan is one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoprune.errors import UsageError
from autoprune.problem.granularity.layout import Layout
from autoprune.problem.granularity.parse import Granularity
from autoprune.ranking.magnitude import named_tensors
from autoprune.ranking.ordering import Curve, Ranking, curve
from autoprune.structure.finite import require_finite

Masks = dict[str, Tensor]
"""Bool tensors by parameter name, True where a weight stays."""

METHODS: Final = ("l2", "l1", "random")
"""Methods of :func:`rank_weights`. ``l1`` and ``l2`` order the weights of a tensor identically, and
measure error by the sum of magnitudes or of squares."""

_SIZES: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "l2": torch.square,
    "l1": torch.abs,
    "random": torch.ones_like,
}


@dataclass(frozen=True)
class Masking(Ranking):
    """Ranking of single weights: masks for every count of units; no tensor gets smaller.

    ``stages``: tensor name -> int16 of its shape, the least count at which a weight stays.
    ``sources``: tensor name -> its weights. ``errors[group][k]`` is the share of the tensor's size
    (see ``METHODS``) that is lost when k units stay, 0 at all of them: the relative squared error
    of a layer's outputs, with ``l2``, if its inputs were alike and independent. ``totals``: group
    -> the size of its tensor.
    """

    layouts: tuple[Layout, ...] = ()
    stages: Mapping[str, Tensor] = field(default_factory=dict)
    sources: Mapping[str, Tensor] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)

    def kept(self, plan: Mapping[str, int]) -> dict[str, Tensor]:
        """Return nothing: every channel stays."""
        return {}

    def masks(self, plan: Mapping[str, int]) -> Masks:
        """Return the mask of every tensor under a plan: exactly ``layout.kept`` weights stay."""
        return {
            layout.tensor: self.stages[layout.tensor] <= plan[layout.group]
            for layout in self.layouts
        }

    def worth(self) -> dict[str, NDArray[np.float64]]:
        """Return the mean size of the weights in each unit, [units] for every group, falling.

        Comparable between tensors, unlike the relative errors.
        """
        return {
            layout.group: -np.diff(self.errors[layout.group])
            * self.totals[layout.group]
            / layout.step
            for layout in self.layouts
        }

    def weights(self, plan: Mapping[str, int]) -> dict[str, Tensor]:
        """Return tensor name -> the weights that stay, zero in place of the others."""
        return {name: self.sources[name] * mask for name, mask in self.masks(plan).items()}


def check_mask_method(method: str) -> None:
    """Raise UsageError unless ``method`` is one of ``METHODS``."""
    if method not in METHODS:
        raise UsageError(
            f"ranking {method!r} orders no single weights", f"choose from {', '.join(METHODS)}"
        )


def rank_weights(
    model: nn.Module,
    layouts: tuple[Layout, ...],
    granularity: Granularity,
    method: str,
    *,
    seed: int = 0,
    before: Mapping[str, Tensor] | None = None,
) -> Masking:
    """Rank the weights of every layout by ``method``; ``seed`` is for ``random``.

    ``before``: masks of an earlier pruning, whose removed weights come first. The model is not
    changed. Raises UsageError for an unknown method or weights that are NaN or infinite.
    """
    check_mask_method(method)
    require_finite(model)
    tensors, generator = named_tensors(model), torch.Generator().manual_seed(seed)
    stages, errors, sources, totals = {}, {}, {}, {}
    for layout in layouts:
        source = tensors[layout.tensor].detach()
        weight = source.float().cpu()  # sums in one order, whatever the device
        size, order = _SIZES[method](weight), weight.abs()
        if method == "random":
            order = torch.rand(weight.shape, generator=generator)
        if before:
            gone = ~before[layout.tensor].cpu()
            size, order = size.masked_fill(gone, 0.0), order.masked_fill(gone, -1.0)
        if granularity.block:
            stage = _stages_of_rows(layout, order, size, *granularity.block)
        else:
            stage = _stages_of_weights(layout, order)
        stages[layout.tensor], sources[layout.tensor] = stage.to(source.device), source
        errors[layout.group] = _errors(layout, stage, size)
        totals[layout.group] = float(size.double().sum())
    return Masking(
        method,
        {},
        errors,
        layouts=layouts,
        stages=stages,
        sources=sources,
        totals=totals,
    )


def _stages_of_weights(layout: Layout, order: Tensor) -> Tensor:
    """Return the stages of all weights by size, largest first."""
    ranked = order.flatten().sort(descending=True, stable=True).indices
    place = torch.empty_like(ranked)
    place[ranked] = torch.arange(layout.size)
    stage = (place - layout.fixed).div(layout.step, rounding_mode="floor") + 1
    return stage.clamp_(min=1).to(torch.int16).view(layout.shape)


def _stages_of_rows(layout: Layout, order: Tensor, size: Tensor, n: int, m: int) -> Tensor:
    """Return stages by rows: 1 for weights that n:m leaves; rows that lose most come back first.

    A row holds the weights of one output; blocks run along the inputs of one kernel position, as
    matrix kernels read them in channels-last layout.
    """
    rows = layout.shape[0]
    order, size = (_lines(values, rows) for values in (order, size))
    length = order.shape[1] // m * m
    ranked = order[:, :length].reshape(rows, -1, m).sort(dim=2, descending=True, stable=True)
    stays = torch.ones_like(order, dtype=torch.bool)
    stays[:, :length] = (ranked.indices.argsort(dim=2) < n).reshape(rows, length)
    lost = size.double().masked_fill(stays, 0.0).sum(1)
    place = lost.sort(descending=True, stable=True).indices.argsort()
    together = rows // (layout.units - 1)
    stage = torch.where(stays, 1, (place // together + 2)[:, None]).to(torch.int16)
    if len(layout.shape) == 2:
        return stage
    inputs, *kernel = layout.shape[1:]
    return stage.view(rows, *kernel, inputs).movedim(-1, 1).contiguous()


def _lines(weight: Tensor, rows: int) -> Tensor:
    """Return a weight as [rows, kernel positions x inputs], inputs varying fastest."""
    return weight.movedim(1, -1).reshape(rows, -1)


def _errors(layout: Layout, stage: Tensor, size: Tensor) -> Curve:
    lost = torch.bincount(
        stage.flatten().long(), weights=size.double().flatten(), minlength=layout.units + 1
    )
    # The first unit includes the weights that always stay: every plan keeps it.
    return curve(lost[1:].flip(0))
