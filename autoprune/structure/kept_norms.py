"""Norms that count kept units only: what makes a masked network equal a compact one.

A norm over units has other statistics once units are gone, and that is right. In the masked
network these units are still there, zero everywhere: here they do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class KeptUnits(TorchFunctionMode):
    """Run of a network in which norms and means along a dimension skip units that are gone.

    ``dense`` is the finished run of the network that was masked: what is zero there too is not
    gone. Without it nothing is skipped.
    """

    def __init__(self, dense: KeptUnits | None = None) -> None:
        super().__init__()
        self._before = None if dense is None else iter(dense.alive)
        self.alive: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute norms and means of kept units; everything else as it is."""
        own = _OWN.get(getattr(func, "__name__", ""))
        if own is not None and args and isinstance(args[0], Tensor):
            found = own(self, *args, **(kwargs or {}))
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))

    def over(
        self, x: Tensor, dims: list[int], units: list[int], weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return which ``units`` (dimensions) count, how many places, and the mean over ``dims``.

        ``weight``: the norm's own, which is zero where units are gone; it is certain, and a unit
        that no input of the example wakes is as zero as one that is gone. Every result keeps the
        dimensions of ``x``.
        """
        here = (x != 0).to(x.dtype)
        others = [dim for dim in range(x.dim()) if dim not in units]
        here = here.amax(others, keepdim=True) if others else here
        self.alive.append(here)
        before = None if self._before is None else next(self._before, None)
        if before is None or before.shape != here.shape:
            stays = torch.ones_like(here)
        elif weight is not None:
            stays = (weight != 0).to(x.dtype).reshape(here.shape)
        else:
            stays = torch.maximum(here, 1 - before)
        shape = [size if dim in dims else stays.shape[dim] for dim, size in enumerate(x.shape)]
        count = stays.expand(shape).sum(dims, keepdim=True).clamp(min=1)
        return stays, count, (x * stays).sum(dims, keepdim=True) / count


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _centered(
    run: KeptUnits,
    x: Tensor,
    dims: list[int],
    units: list[int],
    eps: float,
    weight: Tensor | None,
) -> Tensor:
    """Give the kept units of ``dims`` mean 0 and variance 1."""
    stays, count, mean = run.over(x, dims, units, weight)
    centered = (x - mean) * stays
    variance: Tensor = centered.square().sum(dims, keepdim=True) / count
    return centered / (variance + eps).sqrt()


def _layer_norm(
    run: KeptUnits,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *args: Any,
) -> Tensor:
    dims = list(range(input.dim() - len(normalized_shape), input.dim()))
    return _scaled(_centered(run, input, dims, dims, eps, weight), weight, bias)


def _rms_norm(
    run: KeptUnits,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    dims = list(range(input.dim() - len(normalized_shape), input.dim()))
    square = run.over(input.square(), dims, dims, weight)[2]
    return _scaled(input * (square + (eps or torch.finfo(input.dtype).eps)).rsqrt(), weight, None)


def _group_norm(
    run: KeptUnits,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *args: Any,
) -> Tensor:
    shape = (input.shape[0], num_groups, -1, math.prod(input.shape[2:]))
    done = _centered(run, input.reshape(shape), [2, 3], [1, 2], eps, weight).reshape(input.shape)
    view = (-1,) + (1,) * (input.dim() - 2)
    weight, bias = (one if one is None else one.view(view) for one in (weight, bias))
    return _scaled(done, weight, bias)


def _batch_norm(
    run: KeptUnits,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """Standardize the rows of a weight [1, rows, columns]; columns may be gone, or rows."""
    if running_mean is not None or not training or input.dim() != 3 or len(input) != 1:
        return None
    done = _centered(run, input, [2], [2], eps, None)
    weight, bias = (one if one is None else one.view(-1, 1) for one in (weight, bias))
    return _scaled(done, weight, bias)


def _only(dim: Any, rank: int) -> int | None:
    """Return the one dimension that is named, None if there are others, or all."""
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    return dims[0] % rank if len(dims) == 1 and type(dims[0]) is int and rank else None


def _mean(
    run: KeptUnits,
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor | None:
    one = _only(dim, input.dim())
    if one is None or not input.is_floating_point() or dtype is not None:
        return None
    mean = run.over(input, [one], [one])[2]
    return mean if keepdim else mean.squeeze(one)


def _var(
    run: KeptUnits,
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Tensor | None:
    one = _only(dim, input.dim())
    if one is None:
        return None
    stays, count, mean = run.over(input, [one], [one])
    lost = int(unbiased) if correction is None else correction
    squares: Tensor = ((input - mean) * stays).square().sum(one, keepdim=True)
    variance = squares / (count - lost)
    return variance if keepdim else variance.squeeze(one)


_OWN: dict[str, Callable[..., Tensor | None]] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
    "mean": _mean,
    "var": _var,
    "std": lambda *args, **kwargs: _root(_var(*args, **kwargs)),
}


def _root(variance: Tensor | None) -> Tensor | None:
    return None if variance is None else variance.sqrt()
