"""Gram matrices of the consumers' input patches, summed in one pass over the calibration data."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from autoprune.data import Samples
from autoprune.data.task import Task, arguments
from autoprune.errors import UsageError
from autoprune.networks.execution import (
    Form,
    device_of,
    fastest_form,
    forward,
    laid_out,
    mode,
    move,
)
from autoprune.networks.folding import Pair, find_foldable, folded
from autoprune.ranking.consumers import Consumer, split
from autoprune.ranking.patches import input_of, patches

PANEL: Final = 768
"""Columns of a Gram matrix that are multiplied at a time."""


@dataclass(frozen=True)
class RegressionConfig:
    """Settings of the rankings that see data: patches, memory, damping."""

    batch: int = 100
    """Most samples per forward pass."""
    pass_bytes: int = 1 << 29
    """Most bytes of all consumers' inputs in one forward pass, of which few are held at a time."""
    large: int = 128 * 128
    """Images of so many pixels are run in the fastest form: batch norms folded, and bfloat16 where
    it pays, whose rounding is far below ``damping``."""
    rows: int = 8000
    """Patches per weight and call site, drawn evenly from all batches; all if there are fewer."""
    columns: int = 4608
    """Widest Gram matrix; wider consumers are split (``autoprune.ranking.consumers.split``)."""
    memory: int = 2 << 30
    """Bytes that all Gram matrices may take; ``columns`` is halved until they fit."""
    float64_columns: int = 1200
    """Gram matrices up to this size are float64; beyond, float32 halves the memory and the time."""
    panel: int = PANEL
    """Columns of a Gram matrix that are multiplied at a time."""
    gathered: int = 512
    """Patches that are gathered before they are multiplied: of few, the matrix is all that counts.
    """
    damping: float = 1e-3
    """eps of the least squares, relative to the mean of the Gram matrix's diagonal."""
    remembered: int = 16 << 20
    """Bytes of repaired values remembered per tensor, for the plans that were asked for last."""


DEFAULT: Final = RegressionConfig()


@dataclass(frozen=True)
class Moments:
    """Moments of a consumer's input, from which least squares is solved without the data.

    ``gram`` = X'X / rows, [columns + 1, columns + 1], the last column of X being ones; ``weights``
    = W, [columns, outputs], the weights as they are, in the type of ``gram``; ``damping`` as in
    :class:`RegressionConfig`.
    """

    consumer: Consumer
    gram: Tensor
    weights: Tensor
    damping: float = DEFAULT.damping


def collect(
    model: nn.Module,
    consumers: Sequence[Consumer],
    task: Task,
    calibration: Samples,
    config: RegressionConfig = DEFAULT,
    seed: int = 0,
) -> list[Moments]:
    """Return the moments of the consumers over the calibration data, without those never called.

    Memory beyond a forward pass: the Gram matrices, and the patches that every consumer gathers.
    Raises UsageError if activations are NaN or infinite.
    """
    sums = [_Sum(consumer, config) for consumer in within_memory(consumers, config)]
    generator = torch.Generator().manual_seed(seed)
    device = device_of(model)
    with torch.no_grad(), mode(model, train=False):
        form, size, pairs = _pass(model, consumers, task, calibration, config)
        limit = math.ceil(config.rows / math.ceil(len(calibration) / size))
        with laid_out(model, form), folded(pairs), _listening(sums, limit, generator):
            for batch in calibration.batches(size):
                forward(model, task, move(batch, device), form)
    return [total.moments() for total in sums if total.called]


def _pass(
    model: nn.Module,
    consumers: Sequence[Consumer],
    task: Task,
    calibration: Samples,
    config: RegressionConfig,
) -> tuple[Form, int, tuple[Pair, ...]]:
    """Return the form of the forward passes, the samples of one, and the norms to fold."""
    few = move(next(calibration.batches(2)), device_of(model))
    read = 0

    def listen(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal read
        value = input_of(args, kwargs)
        read += 4 * value.numel()

    with ExitStack() as stack:
        for module in {module for consumer in consumers for module in consumer.modules}:
            handle = module.register_forward_pre_hook(listen, with_kwargs=True)
            stack.callback(handle.remove)
        forward(model, task, few)
    per_sample = read // len(tree_leaves(few)[0])
    large = any(
        isinstance(leaf, Tensor) and leaf.ndim == 4 and leaf[0, 0].numel() >= config.large
        for leaf in tree_leaves(arguments(task, few))
    )
    size = max(1, min(config.batch, config.pass_bytes // max(per_sample, 1)))
    if not large:
        return Form(), size, ()
    return fastest_form(model, task, few), size, find_foldable(model, task, few)


def within_memory(consumers: Sequence[Consumer], config: RegressionConfig) -> list[Consumer]:
    """Split wide consumers; split all of them further while their Gram matrices take too much."""
    limit = config.columns
    while True:
        parts = [part for consumer in consumers for part in split(consumer, limit)]
        total = sum((len(part.columns) + 1) ** 2 * _type(part, config).itemsize for part in parts)
        if total <= config.memory:
            return parts
        limit //= 2


def add_products(gram: Tensor, rows: Tensor, panel: int = PANEL) -> None:
    """Add X'X to ``gram`` [columns, columns] for X = ``rows``, on and below the diagonal only.

    Some products above it are added too: those within ``panel`` columns.
    """
    for start in range(0, len(gram), panel):
        stripe = slice(start, start + panel)
        gram[start:, stripe] += rows[:, start:].T @ rows[:, stripe]


_SAFE: Final = 1e15
"""Magnitudes up to this, and from its reciprocal on, have squares that float32 can add up."""


def squares_lost(values: Tensor) -> bool:
    """Whether sums of squares of ``values`` overflow in float32, or vanish."""
    if not values.numel():
        return False
    least, most = (float(end) for end in torch.aminmax(values))
    top = max(-least, most)
    return top > _SAFE or 0 < top < 1 / _SAFE


def precise(values: Tensor) -> Tensor:
    """Return values in float64, on the processor where their device has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()


class _Sum:
    """Sum of X'X of one consumer, batch by batch."""

    def __init__(self, consumer: Consumer, config: RegressionConfig) -> None:
        size, device = len(consumer.columns) + 1, consumer.weight.device
        self.consumer, self.config, self.rows = consumer, config, 0
        self.columns = consumer.columns.to(device)
        self.gram = torch.zeros(size, size, dtype=_type(consumer, config), device=device)
        self._gathered: list[Tensor] = []

    @property
    def called(self) -> bool:
        """Whether there was any patch."""
        return self.rows > 0

    def add(self, rows: Tensor) -> None:
        """Gather patches [rows, columns of the weight]; multiply them once there are enough."""
        own = rows if len(self.columns) == rows.shape[1] else rows[:, self.columns]
        self._gathered.append(own.float())
        self.rows += len(own)
        if sum(map(len, self._gathered)) >= self.config.gathered:
            self._multiply()

    def _multiply(self) -> None:
        if not self._gathered:
            return
        rows = torch.cat(self._gathered)
        self._gathered.clear()
        lost, own = squares_lost(rows), F.pad(rows, (0, 1), value=1.0)
        if lost:
            own, self.gram = precise(own), precise(self.gram)
        add_products(self.gram, own.to(self.gram.device), self.config.panel)

    def moments(self) -> Moments:
        """Return the sums as means over rows; raise UsageError if they are not finite."""
        self._multiply()
        gram = self.gram.div_(self.rows).tril_()
        gram += gram.tril(-1).T
        if not bool(gram.diagonal().isfinite().all()):
            raise UsageError(
                f"the input of {self.consumer.tensor!r} is NaN or infinite on the calibration data",
                "look for weights that overflow, or NaN in the data",
            )
        weights = self.consumer.weight.flatten(1).T[self.columns]
        if squares_lost(weights):
            gram, weights = precise(gram), precise(weights)
        if gram.device.type == "mps":  # has no float64 and few decompositions
            gram, weights = gram.cpu().double(), weights.cpu()
        return Moments(self.consumer, gram, weights.to(gram.dtype), self.config.damping)


def _type(consumer: Consumer, config: RegressionConfig) -> torch.dtype:
    wide = len(consumer.columns) > config.float64_columns or consumer.weight.device.type == "mps"
    return torch.float32 if wide else torch.float64


@contextmanager
def _listening(sums: Sequence[_Sum], limit: int, generator: torch.Generator) -> Iterator[None]:
    """Add the input of every call of the consumers' modules."""
    by_module: dict[nn.Module, list[_Sum]] = defaultdict(list)
    for total in sums:
        for module in total.consumer.modules:
            by_module[module].append(total)

    def listen(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rows = patches(module, input_of(args, kwargs), limit, generator)
        for total in by_module[module]:
            total.add(rows)

    with ExitStack() as stack:
        for module in by_module:
            handle = module.register_forward_pre_hook(listen, with_kwargs=True)
            stack.callback(handle.remove)
        yield
