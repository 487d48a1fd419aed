"""Sensitivity of the loss to errors in a consumer's outputs, from one forward and backward pass.

An error d in the outputs of a layer raises the loss, to second order, by

    1/2 E[(g . d)^2],    g the gradient of the loss by these outputs,

the Fisher information standing in for the Hessian (Theis et al. 2018, arXiv:1801.05787, section
2.2). Errors of the same size are not equally bad: those that least squares leaves vary over
channels and positions in a way of their own. Therefore d is the error left when half of the inputs
are removed, and the rise of the loss is divided by the size of d. Along the gradient of its own
sample an error is smaller than pruning elsewhere makes it, so gradients are multiplied with the
errors of other samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import isfinite
from statistics import fmean, median
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.networks.execution import (
    Form,
    device_of,
    fastest_form,
    forward,
    laid_out,
    mode,
    move,
)
from autoprune.networks.padding import tokens_in
from autoprune.ranking.consumers import CONVS, Consumer
from autoprune.ranking.gram import input_of, precise, squares_lost


@dataclass(frozen=True)
class SensitivityConfig:
    """Settings of the sensitivities: how much data, how much memory, what is rounding."""

    samples: int = 128
    """Most samples whose gradients are taken: sensitivities of other samples differ by a tenth."""
    batch: int = 32
    """Most samples of one pass."""
    pass_bytes: int = 1 << 27
    """Most bytes of all consumers' inputs and outputs in one pass, which holds about three times as
    much."""
    least_error: float = 1e-8
    """Relative errors below are rounding, and say nothing."""
    floor: float = 1e-3
    """Least sensitivity, relative to the mean: an error that seems free of cost is not."""


DEFAULT: Final = SensitivityConfig()


def sensitivities(
    model: nn.Module,
    consumers: Sequence[Consumer],
    repaired: Mapping[str, Tensor],
    task: Task,
    calibration: Samples,
    seed: int = 0,
    config: SensitivityConfig = DEFAULT,
) -> dict[str, float]:
    """Return consumer's tensor -> rise of the loss by an error, divided by the relative error.

    Relative: the squared error over the variance of the outputs. ``repaired``: consumer's tensor ->
    its weights where half of the inputs are gone, dense shape, zeros for what is gone; where there
    are none, an error is what one sample's outputs differ by from the mean. A consumer of which no
    gradient is known counts like the median of the others; where the loss has no gradient, all
    count 1. The model is not changed.
    """
    samples = calibration.take(min(config.samples, len(calibration)), seed)
    measured: dict[str, list[float]] = defaultdict(list)
    with (
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=not _has_recurrent(model)),  # which need training mode
        mode(model, train=False),
        _probing(consumers, repaired, config) as probes,
        suppress(RuntimeError),  # of operations that have no gradient
    ):
        form, size = _settings(model, task, samples, probes, config)
        with laid_out(model, form):
            for batch in samples.batches(size, seed=seed):
                probes.clear()
                moved = move(batch, device_of(model))
                loss = task.loss(forward(model, task, moved, form), moved)
                for tensor, value in _measure(loss, probes, len(tree_leaves(batch)[0])):
                    measured[tensor].append(value)
    known = {tensor: fmean(values) for tensor, values in measured.items()}
    return _complete(known, consumers, config.floor)


def _has_recurrent(model: nn.Module) -> bool:
    return any(isinstance(module, nn.RNNBase) for module in model.modules())


def _settings(
    model: nn.Module, task: Task, samples: Samples, probes: list[_Probe], config: SensitivityConfig
) -> tuple[Form, int]:
    """Return the form to run in and the samples of one pass."""
    few = move(next(samples.batches(2)), device_of(model))
    form = fastest_form(model, task, few, training=True)
    probes.clear()
    with torch.no_grad():
        forward(model, task, few)
    per_sample = sum(probe.bytes for probe in probes) // len(tree_leaves(few)[0])
    return form, max(2, min(config.batch, config.pass_bytes // max(per_sample, 1)))


@dataclass(frozen=True)
class _Probe:
    """Error in a consumer's outputs of one call, and zeros that were added to these outputs.

    ``size``: the squared error over the variance of the outputs. The gradient by the zeros is that
    by the outputs. ``bytes``: of the call's input and outputs.
    """

    tensor: str
    bytes: int
    error: Tensor
    size: float
    zeros: Tensor


@contextmanager
def _probing(
    consumers: Sequence[Consumer], repaired: Mapping[str, Tensor], config: SensitivityConfig
) -> Iterator[list[_Probe]]:
    """Fill a list with a probe for every call of the consumers' modules."""
    probes: list[_Probe] = []

    def probe(module: nn.Module, value: Tensor, outputs: Tensor, tensor: str) -> Tensor:
        """Add zeros to the outputs of one call and keep what is to be known of them."""
        zeros = torch.zeros_like(outputs, requires_grad=True)
        error, size = _error(module, value, outputs, repaired.get(tensor), config.least_error)
        probes.append(_Probe(tensor, value.nbytes + outputs.nbytes, error, size, zeros))
        return outputs + zeros

    def note(
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        outputs: Any,
        *,
        tensor: str,
    ) -> Any:
        """Probe the outputs of one call, if they are a tensor or begin with one."""
        value = input_of(args, kwargs)
        if isinstance(outputs, Tensor):
            return probe(module, value, outputs, tensor)
        if type(outputs) is tuple and isinstance(outputs[0], Tensor):  # of a recurrent layer
            return probe(module, value, outputs[0], tensor), *outputs[1:]
        return outputs

    with ExitStack() as stack:
        for consumer in consumers:
            for module in consumer.modules:
                listen = partial(note, tensor=consumer.tensor)
                stack.callback(module.register_forward_hook(listen, with_kwargs=True).remove)
        yield probes


@torch.no_grad()
def _error(
    module: nn.Module,
    value: Tensor,
    outputs: Tensor,
    repaired: Tensor | None,
    least_error: float,
) -> tuple[Tensor, float]:
    """Return the error that repaired weights make in a layer's outputs, and its relative size.

    Means by channel are left out: the repaired bias, or a batch norm, absorbs them.
    """
    variation = _centered(module, outputs)
    if repaired is not None and isinstance(module, (*CONVS, nn.Linear)):
        change = repaired - module.weight
        raw = (
            F.linear(value, change)
            if isinstance(module, nn.Linear)
            else module._conv_forward(value, change, None)
        )
        error = _centered(module, raw)
        whole, part = variation, error
        if squares_lost(variation):
            whole, part = precise(variation), precise(error)
        size = float(part.square().sum() / whole.square().sum())
        if size > least_error:
            return error, size
    return variation, 1.0


def _centered(module: nn.Module, value: Tensor) -> Tensor:
    """Return values with the mean of every channel taken off, in float32; 0 for padding."""
    channel = value.ndim - 1
    if isinstance(module, CONVS):
        channel -= len(module.kernel_size)
    value = value.float()
    rest = [at for at in range(value.ndim) if at != channel]
    tokens = tokens_in(value)
    if tokens is None:
        return value - value.mean(rest, keepdim=True)
    there = tokens.view(*tokens.shape, *(1,) * (value.ndim - tokens.ndim))
    each = value.numel() // (tokens.numel() * value.shape[channel])
    mean = (value * there).sum(rest, keepdim=True) / (there.sum() * each).clamp_min(1)
    return (value - mean) * there


def _measure(loss: Tensor, probes: Sequence[_Probe], samples: int) -> Iterator[tuple[str, float]]:
    """Yield for every probe what its error adds to the mean ``loss`` of a batch, over its size."""
    zeros = [probe.zeros for probe in probes]
    if not zeros or not loss.requires_grad:
        return
    gradients = torch.autograd.grad(loss * samples, zeros, allow_unused=True)
    for probe, gradient in zip(probes, gradients, strict=True):
        if gradient is None:
            continue
        slopes, errors = (_by_sample(part, samples) for part in (gradient.float(), probe.error))
        if slopes is not None and errors is not None:
            products = (slopes @ errors.mT).square()
            yield probe.tensor, float(_between(products).mean()) / 2 / probe.size


def _between(products: Tensor) -> Tensor:
    """Return the entries [samples, samples] of two different samples; all if there is one."""
    other = ~torch.eye(len(products), dtype=torch.bool, device=products.device)
    return products[other] if len(products) > 1 else products


def _by_sample(value: Tensor, samples: int) -> Tensor | None:
    """Return [samples, rest]; samples come first, second after time, or else it is None."""
    if value.ndim > 1 and value.shape[1] == samples != value.shape[0]:
        value = value.transpose(0, 1)
    if value.shape[0] % samples:  # windows of a sample may lie one after the other
        return None
    return value.reshape(samples, -1)


def _complete(
    known: Mapping[str, float], consumers: Sequence[Consumer], floor: float
) -> dict[str, float]:
    """Give every consumer a sensitivity above 0."""
    finite = {name: value for name, value in known.items() if isfinite(value)}
    if not any(finite.values()):
        return {consumer.tensor: 1.0 for consumer in consumers}
    least, middle = floor * fmean(finite.values()), median(finite.values())
    tensors = [consumer.tensor for consumer in consumers]
    return {tensor: max(finite.get(tensor, middle), least) for tensor in tensors}
