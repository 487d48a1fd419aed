"""Networks in their deployed form: evaluation mode, batch norms folded, fastest layout."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.cost.latency.clock import race
from autoprune.data.task import Batch, Task
from autoprune.networks.execution import (
    Form,
    bfloat16_pays,
    device_of,
    fastest_form,
    forward,
    laid_out,
    mode,
)
from autoprune.networks.folding import Pair, find_foldable, folded


@dataclass(frozen=True)
class Deployed:
    """A network in the form it is run in; calling it runs it on its batch once."""

    net: nn.Module
    run: Callable[[], Any]

    def __call__(self) -> Any:
        """Run the network."""
        return self.run()


def deployed_form(model: nn.Module, task: Task, batch: Batch) -> Form:
    """Return the fastest form in float32 that ``model`` runs in."""
    return fastest_form(model, task, few(batch), "float32")


def quickest_form(model: nn.Module, task: Task, batch: Batch) -> Form:
    """Return the fastest form of all, timed on ``batch``: float32, or bfloat16 where that is."""
    plain = deployed_form(model, task, batch)
    if not bfloat16_pays(model, task, few(batch)):
        return plain
    low, twin = replace(plain, bfloat16=True), copy.deepcopy(model)
    try:
        with deployed(model, task, batch, plain) as one, deployed(twin, task, batch, low) as two:
            finite = all(bool(leaf.isfinite().all()) for leaf in tree_leaves(two()))
            times = [min(turns) for turns in race([one, two], device_of(model))]
    except (RuntimeError, TypeError, NotImplementedError):  # some operations lack bfloat16
        return plain
    return low if finite and times[1] < times[0] else plain


@contextmanager
def deployed(
    model: nn.Module, task: Task, batch: Batch, form: Form, pairs: Sequence[Pair] | None = None
) -> Iterator[Deployed]:
    """Bring a network into its deployed form; restore it at the end.

    ``pairs``: the batch norms to fold, by default all that can be. In bfloat16 a copy with weights
    in bfloat16 is run.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if pairs is None:
            pairs = find_foldable(model, task, few(batch))
        stack.enter_context(mode(model, train=False))
        stack.enter_context(laid_out(model, form))
        stack.enter_context(folded(pairs))
        net = model
        if form.bfloat16:
            net, batch = copy.deepcopy(model).to(torch.bfloat16), tree_map(_bfloat16, batch)
        layout = replace(form, bfloat16=False)
        yield Deployed(net, lambda: forward(net, task, batch, layout))


def few(batch: Batch) -> Batch:
    """Return the first two samples of a batch."""
    return tree_map(lambda leaf: leaf[:2], batch)


def samples_in(batch: Batch) -> int:
    """Count the samples of a batch."""
    return next(len(leaf) for leaf in tree_leaves(batch) if torch.is_tensor(leaf))


def _bfloat16(leaf: Any) -> Any:
    floats = torch.is_tensor(leaf) and leaf.is_floating_point()
    return leaf.to(torch.bfloat16) if floats else leaf
