"""Networks as they are run once trained: evaluation mode, batch norms folded, fastest layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.execution import Form, device_of, fastest_form, forward, laid_out, mode
from autoprune.folding import Pair, find_foldable, folded
from autoprune.latency.clock import Work, race
from autoprune.task import Batch, Task

BATCH: Final = 64
"""Samples of one forward pass."""


def deployed_form(model: nn.Module, task: Task, batch: Batch) -> Form:
    """Return the fastest form in float32 that ``model`` runs in."""
    return fastest_form(model, task, few(batch), "float32")


@contextmanager
def deployed(
    model: nn.Module, task: Task, batch: Batch, form: Form, pairs: Sequence[Pair] | None = None
) -> Iterator[Work]:
    """Put a network into the form it is run in; what is yielded runs it on ``batch`` once.

    ``pairs``: the batch norms to fold, by default all that can be.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if pairs is None:
            pairs = find_foldable(model, task, few(batch))
        stack.enter_context(mode(model, train=False))
        stack.enter_context(laid_out(model, form))
        stack.enter_context(folded(pairs))
        yield lambda: forward(model, task, batch, form)


def latencies(networks: Sequence[nn.Module], task: Task, batch: Batch, form: Form) -> list[float]:
    """Return the seconds that each network takes for ``batch``: the least of interleaved runs."""
    with ExitStack() as stack:
        works = [stack.enter_context(deployed(net, task, batch, form)) for net in networks]
        return [min(times) for times in race(works, device_of(networks[0]))]


def few(batch: Batch) -> Batch:
    """Return the first two samples of a batch."""
    return tree_map(lambda leaf: leaf[:2], batch)


def samples_in(batch: Batch) -> int:
    """Count the samples of a batch."""
    return next(len(leaf) for leaf in tree_leaves(batch) if torch.is_tensor(leaf))
