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
from autoprune.ranking.consumers import Consumer
from autoprune.ranking.output_errors import output_error
from autoprune.ranking.patches import input_of


@dataclass(frozen=True)
class SensitivityConfig:
    """Settings of the sensitivities: how much data, how much memory, what is rounding."""

    samples: int = 128
    """Most samples whose gradients are taken: sensitivities of other samples differ by a tenth."""
    batch: int = 32
    """Most samples of one pass."""
    pass_bytes: int = 1 << 27
    """Most bytes of all consumers' inputs and outputs in one pass, which holds up to twice as much.
    """
    few: int = 8
    """Samples of a pass over large inputs: their errors are to meet other samples' gradients."""
    few_bytes: int = 1 << 30
    """Most bytes of inputs and outputs, as above, of so few samples."""
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
        suppress(RuntimeError),  # of operations that have no gradient
    ):
        form, size = _settings(model, consumers, task, samples, config)
        with laid_out(model, form):
            for batch in samples.batches(size, seed=seed):
                moved, count = move(batch, device_of(model)), len(tree_leaves(batch)[0])
                start = torch.zeros((), device=device_of(model), requires_grad=True)
                least = config.least_error
                with _probing(consumers, repaired, start, count, least) as found:
                    loss = task.loss(forward(model, task, moved, form), moved)
                    if loss.requires_grad:
                        torch.autograd.grad(loss * count, start, allow_unused=True)
                for tensor, value in found:
                    measured[tensor].append(value)
    known = {tensor: fmean(values) for tensor, values in measured.items()}
    return _complete(known, consumers, config.floor)


def _has_recurrent(model: nn.Module) -> bool:
    return any(isinstance(module, nn.RNNBase) for module in model.modules())


def _settings(
    model: nn.Module,
    consumers: Sequence[Consumer],
    task: Task,
    samples: Samples,
    config: SensitivityConfig,
) -> tuple[Form, int]:
    """Return the form to run in and the samples of one pass."""
    few = move(next(samples.batches(2)), device_of(model))
    form, held = fastest_form(model, task, few, training=True), 0

    def listen(module: nn.Module, args: Any, kwargs: Mapping[str, Any], outputs: Any) -> None:
        nonlocal held
        first = outputs[0] if type(outputs) is tuple else outputs
        held += input_of(args, kwargs).nbytes + (first.nbytes if torch.is_tensor(first) else 0)

    with torch.no_grad(), ExitStack() as stack:
        for module in {module for consumer in consumers for module in consumer.modules}:
            stack.callback(module.register_forward_hook(listen, with_kwargs=True).remove)
        forward(model, task, few)
    each = max(held // len(tree_leaves(few)[0]), 1)
    fit = max(config.pass_bytes // each, min(config.few, config.few_bytes // each), 2)
    return form, min(config.batch, fit)


@dataclass(frozen=True)
class _Probe:
    """Probe of one call of a consumer's module.

    ``error``: in its outputs, in their type. ``size``: the squared error over the variance of the
    outputs. ``samples``: of the pass. What is measured is appended to ``found``.
    """

    tensor: str
    error: Tensor
    size: float
    samples: int
    found: list[tuple[str, float]]

    def measure(self, gradient: Tensor) -> None:
        """Note what the error adds to the mean loss of the batch, over its size."""
        slopes, errors = _by_sample(gradient.float(), self.error.float(), self.samples)
        if slopes is not None and errors is not None:
            products = (slopes @ errors.mT).square()
            rise = float(_between(products).mean()) / 2 / self.size
            self.found.append((self.tensor, rise))


class _Listen(torch.autograd.Function):
    """Outputs as they are, whose gradient is measured on its way back, and kept by nobody."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, start: Tensor, probe: _Probe) -> Tensor:
        """Return a copy of the outputs, which may be overwritten. ``start`` asks for gradients."""
        del start
        ctx.probe = probe
        return outputs.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Hand the gradient on."""
        ctx.probe.measure(gradient)
        ctx.probe = None  # and with it the error
        return gradient, gradient.new_zeros((), dtype=torch.float32), None


@contextmanager
def _probing(
    consumers: Sequence[Consumer],
    repaired: Mapping[str, Tensor],
    start: Tensor,
    samples: int,
    least_error: float,
) -> Iterator[list[tuple[str, float]]]:
    """Probe every call of the consumers' modules.

    Asking for the gradient by ``start``, a zero, fills the list that is yielded: (consumer's
    tensor, what its error adds to the loss).
    """
    found: list[tuple[str, float]] = []

    def probe(module: nn.Module, value: Tensor, outputs: Tensor, tensor: str) -> Any:
        """Probe the outputs of one call."""
        error, size = output_error(module, value, outputs, repaired.get(tensor), least_error)
        kept = _Probe(tensor, error.to(outputs.dtype), size, samples, found)
        return _Listen.apply(outputs, start, kept)  # type: ignore[no-untyped-call]

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
        yield found


def _between(products: Tensor) -> Tensor:
    """Return the entries [samples, samples] of two different samples; all if there is one."""
    other = ~torch.eye(len(products), dtype=torch.bool, device=products.device)
    return products[other] if len(products) > 1 else products


def _by_sample(
    gradient: Tensor, error: Tensor, samples: int
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Return both as [samples, rest]; samples come first, second after time, or else it is None."""
    both = gradient, error
    if error.ndim > 1 and error.shape[1] == samples != error.shape[0]:
        both = gradient.transpose(0, 1), error.transpose(0, 1)
    elif all(v.ndim == 4 and v.is_contiguous(memory_format=torch.channels_last) for v in both):
        both = gradient.movedim(1, -1), error.movedim(1, -1)  # as they lie in memory
    if len(both[0]) % samples:  # windows of a sample may lie one after the other
        return None, None
    return both[0].reshape(samples, -1), both[1].reshape(samples, -1)


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
