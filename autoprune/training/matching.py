"""Feature matching: a compact network learns to give what the dense one gives, without labels.

The loss compares values on the way and at the end, each in units of the dense network's own:

    mean over points of |s - t|^2 / |t|^2, times ``WEIGHT``, plus the same of the outputs,

s being the compact network's values and t the dense one's, of the units that are kept. Points are
the values that enter residual blocks, and the pruned inputs of layers outside of these (Romero et
al. 2015, FitNets, arXiv:1412.6550, section 2.2, at all places at once).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.data.task import Batch, Task, arguments
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, forward, mode
from autoprune.networks.padding import Tokens, tokens_in, tokens_of
from autoprune.ranking.patches import input_of
from autoprune.structure.index_patterns import places_that_stay
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Structure

WEIGHT: Final = 5.0
"""Weight of the values on the way, beside the outputs."""


@dataclass(frozen=True)
class Point:
    """Place where values are compared: what enters the module ``path``.

    ``dim`` is the dimension of the units, ``kept`` the dense network's that are left there, None
    for all.
    """

    path: str
    dim: int
    kept: Tensor | None


def points(
    structure: Structure, slicer: Slicer, kept: Mapping[str, Tensor], compact: nn.Module
) -> tuple[Point, ...]:
    """Return the points of a compact network of the units ``kept``."""
    indices, left = slicer.indices(kept), dict(compact.named_modules())
    found = [
        Point(branch.ending.entry, branch.removal.dim, places_that_stay(branch, kept))
        for branch in structure.branches
        if branch.ending is not None and branch.ending.entry in left
    ]
    inside = {place for branch in structure.branches for place in branch.layers}
    found += [
        Point(layer.module, -1 if layer.kind == "linear" else 1, indices[layer.weight, 1])
        for place, layer in enumerate(structure.layers)
        if place not in inside and layer.kind in ("conv", "linear") and layer.module in left
        if layer.weight == f"{layer.module}.weight" and (layer.weight, 1) in indices
    ]
    return tuple({point.path: point for point in found}.values())


class Matching:
    """Loss of a compact network against a dense ``teacher``, on inputs alone."""

    def __init__(self, teacher: nn.Module, task: Task, places: Sequence[Point]) -> None:
        self._teacher, self._task, self._places = teacher, task, places

    def __call__(self, model: nn.Module, batch: Batch, form: Form) -> Tensor:
        """Return the loss of a batch, a scalar; labels in it are not looked at."""
        with torch.no_grad(), _seen(self._teacher, self._places) as wanted:
            target = forward(self._teacher, self._task, batch, form)
        with _seen(model, self._places) as given:
            outputs = forward(model, self._task, batch, form)
        inner = [
            (given[point.path], _part(wanted[point.path], point))
            for point in self._places
            if point.path in given and point.path in wanted
        ]
        ends = list(zip(tree_leaves(outputs), tree_leaves(target), strict=True))
        tokens = tokens_of(arguments(self._task, batch)[1])
        return WEIGHT * _mean_apart(inner, tokens) + _mean_apart(ends, tokens)

    @torch.no_grad()
    def mean(self, model: nn.Module, batches: Batches) -> float:
        """Return the mean loss over batches, in evaluation mode."""
        with mode(model, train=False), mode(self._teacher, train=False):
            losses = [float(self(model, batch, batches.form)) for batch in batches]
        return sum(losses) / len(losses)


def _mean_apart(pairs: Iterable[tuple[Any, Any]], tokens: Tokens) -> Tensor:
    """Return the mean distance of the pairs that are values of the same units.

    ``tokens``: which places of a batch hold a token.
    """
    apart = [_apart(given, wanted, tokens) for given, wanted in pairs if _comparable(given, wanted)]
    return torch.stack(apart).mean() if apart else torch.zeros(())


def _apart(given: Tensor, wanted: Tensor, tokens: Tokens) -> Tensor:
    """Return the squared distance in units of the wanted values' own squares."""
    given, wanted = given.float(), wanted.float()
    there = tokens_in(wanted, tokens)
    if there is not None:
        given, wanted = given[there], wanted[there]
    squares = wanted.square().mean().clamp_min(torch.finfo(torch.float32).tiny)
    return (given - wanted).square().mean() / squares


def _part(value: Tensor, point: Point) -> Tensor:
    return value if point.kept is None else value.index_select(point.dim, point.kept)


def _comparable(one: Any, other: Any) -> bool:
    tensors = isinstance(one, Tensor) and isinstance(other, Tensor)
    return tensors and one.is_floating_point() and one.shape == other.shape


@contextmanager
def _seen(model: nn.Module, places: Sequence[Point]) -> Iterator[dict[str, Tensor]]:
    """Collect what enters the modules of the points while the context lasts."""
    values: dict[str, Tensor] = {}

    def see(path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values[path] = input_of(args, kwargs)

    with ExitStack() as stack:
        for point in places:
            module = model.get_submodule(point.path)
            hook = module.register_forward_pre_hook(partial(see, point.path), with_kwargs=True)
            stack.callback(hook.remove)
        yield values
