"""Folding of batch norms into the convolutions before them, for the time of a forward pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from autoprune.data.task import Batch, Task
from autoprune.networks.execution import forward, mode

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Pair(NamedTuple):
    """A convolution and the batch norm that normalizes its output."""

    conv: nn.Module
    norm: _BatchNorm


@torch.no_grad()
def find_foldable(model: nn.Module, task: Task, batch: Batch) -> tuple[Pair, ...]:
    """Return the batch norms that can be folded without changing the output on ``batch``.

    Pairs are found by following one forward pass, and then tried: if the output changes (because a
    convolution's output is used elsewhere too), nothing is folded.
    """
    with mode(model, train=False):
        pairs = _follow(model, task, batch)
        expected = tree_leaves(forward(model, task, batch))
        with folded(pairs):
            outputs = tree_leaves(forward(model, task, batch))
    return pairs if all(map(_same, expected, outputs)) else ()


def pairs_in(model: nn.Module, names: Iterable[tuple[str, str]]) -> list[Pair]:
    """Return the pairs of a network by the paths of convolution and norm; some may be gone."""
    modules, pairs = dict(model.named_modules()), []
    for conv, path in names:
        norm = modules.get(path)
        if isinstance(norm, _BatchNorm):
            pairs.append(Pair(modules[conv], norm))
    return pairs


@contextmanager
def folded(pairs: Sequence[Pair]) -> Iterator[None]:
    """Fold statistics, scale and shift into weights and biases; undo it at the end.

    w <- w * gamma / sqrt(var + eps), b <- (b - mean) * gamma / sqrt(var + eps) + beta. Tensors are
    replaced, never written to.
    """
    with ExitStack() as stack:
        for conv, norm in pairs:
            tensors = conv._parameters
            stack.callback(tensors.update, dict(tensors))
            weight, bias = _fold(conv, norm)
            # The network is only run, so plain tensors do in the place of parameters.
            tensors.update({"weight": weight, "bias": bias})  # type: ignore[dict-item]
            vars(norm)["forward"] = _unchanged
            stack.callback(vars(norm).pop, "forward")
        yield


@torch.no_grad()
def _fold(conv: nn.Module, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    weight, bias = conv._parameters["weight"], conv._parameters["bias"]
    mean, variance = norm.running_mean, norm.running_var
    assert weight is not None and mean is not None and variance is not None  # noqa: S101
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean if bias is None else bias - mean
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return weight * scale.view(-1, *[1] * (weight.dim() - 1)), shift


def _follow(model: nn.Module, task: Task, batch: Batch) -> tuple[Pair, ...]:
    """Pair convolutions and batch norms, each called once, that hand a tensor over directly."""
    calls: Counter[nn.Module] = Counter()
    made: list[tuple[Tensor, nn.Module]] = []  # holds the tensors, so that identities stay unique
    pairs: list[Pair] = []

    def produce(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        calls[module] += 1
        made.append((output, module))

    def consume(module: _BatchNorm, args: tuple[Any, ...]) -> None:
        calls[module] += 1
        pairs.extend(Pair(conv, module) for output, conv in made if output is args[0])

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, CONVS) and "weight" in module._parameters:
                stack.callback(module.register_forward_hook(produce).remove)
            elif isinstance(module, _BatchNorm) and module.running_var is not None:
                stack.callback(module.register_forward_pre_hook(consume).remove)
        forward(model, task, batch)
    return tuple(pair for pair in pairs if calls[pair.conv] == calls[pair.norm] == 1)


def _unchanged(value: Tensor) -> Tensor:
    return value


def _same(expected: Any, output: Any) -> bool:
    if not (isinstance(expected, Tensor) and expected.is_floating_point()):
        return True
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    if not math.isfinite(scale):  # a network that fell apart is timed as it is
        return False
    return bool(torch.allclose(expected, output, rtol=0, atol=1e-4 * scale + 1e-12))
