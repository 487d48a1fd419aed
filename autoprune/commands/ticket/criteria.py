"""Scores that tell which weights matter before any training; higher ones are kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.commands.ticket import masks as m
from autoprune.data import Split
from autoprune.data.task import Classification, Task, logits
from autoprune.errors import UsageError
from autoprune.networks.execution import device_of, forward, mode, move

SAMPLES: Final = 256
"""Training samples that SNIP and GraSP take their gradients from."""

ROUNDS: Final = 100
"""Rounds in which SynFlow prunes (Tanaka et al. 2020, section 6)."""

HEAT: Final = 200.0
"""Temperature of the softmax that GraSP looks at."""

Scores = dict[str, Tensor]


def magnitude(model: nn.Module, split: Split, task: Task, keep: int) -> m.Masks:
    """Keep the largest initial weights."""
    masks = m.full(model)
    return m.draw({name: _weights(model)[name].abs() for name in masks}, masks, keep)


def snip(model: nn.Module, split: Split, task: Task, keep: int) -> m.Masks:
    """Keep the weights w with the largest |w * dL/dw| (Lee et al. 2019, SNIP, equation 6)."""
    masks = m.full(model)
    weights = {name: _weights(model)[name] for name in masks}
    gradients = _gradients(_loss(model, split, task), weights)
    return m.draw({name: (weights[name] * g).abs() for name, g in gradients.items()}, masks, keep)


def grasp(model: nn.Module, split: Split, task: Task, keep: int) -> m.Masks:
    """Keep the weights w with the largest w * Hg (Wang et al. 2020, GraSP, equation 8).

    There -w * Hg is how much the norm of the gradient grows when w goes, and the largest go. As in
    the authors' code the logits of a classifier are divided by ``HEAT`` first: without it, weights
    stay that saturate the softmax, and LeNet-300-100 hardly trains.
    """
    masks = m.full(model)
    weights = {name: _weights(model)[name] for name in masks}
    gradients = _gradients(_loss(model, split, task, HEAT), weights, again=True)
    flow = torch.stack([(g * g.detach()).sum() for g in gradients.values()]).sum()
    products = _gradients(flow, weights)
    return m.draw({name: weights[name] * h for name, h in products.items()}, masks, keep)


def synflow(model: nn.Module, split: Split, task: Task, keep: int) -> m.Masks:
    """Keep the weights that most paths of large weights go through, without data.

    Tanaka et al. 2020, algorithm 1: with every tensor replaced by its absolute value and an input
    of ones, w * dR/dw for the sum R of the outputs, in ``ROUNDS`` rounds that take the part kept
    down exponentially.
    """
    masks, model = m.full(model), copy.deepcopy(model).double()
    total = sum(mask.numel() for mask in masks.values())
    state = model.state_dict()
    for value in state.values():
        value.abs_()
    initial = {name: _weights(model)[name].detach().clone() for name in masks}
    batch = tree_map(_ones, next(split.take(1).batches(1)))
    if not any(leaf.is_floating_point() for leaf in tree_leaves(task.inputs(batch))):
        raise UsageError("synflow needs inputs that are numbers, not codes", "leave synflow out")
    for step in range(1, ROUNDS + 1):
        weights = {name: _weights(model)[name] for name in masks}
        with torch.no_grad():
            for name, value in weights.items():
                value.copy_(initial[name] * masks[name].to(value.device))
        with mode(model, train=False):
            outputs = forward(model, task, move(batch, device_of(model)))
        flow = torch.stack([leaf.sum() for leaf in tree_leaves(outputs)]).sum()
        scores = {name: weights[name] * g for name, g in _gradients(flow, weights).items()}
        kept = round(total * (keep / total) ** (step / ROUNDS))
        masks = m.draw(scores, masks, kept)
    return masks


CRITERIA: Final[Mapping[str, Callable[[nn.Module, Split, Task, int], m.Masks]]] = {
    "magnitude": magnitude,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
}
"""Each draws masks for a network at initialization that keep so many weights in all."""


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters())


def _loss(model: nn.Module, split: Split, task: Task, heat: float = 1.0) -> Tensor:
    """Return the loss on a few training samples, in train mode; batch statistics are put back.

    ``heat`` divides the logits of classifiers.
    """
    batch = move(next(split.take(SAMPLES).batches(SAMPLES)), device_of(model))
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    with mode(model, train=True):
        outputs = forward(model, task, batch)
        if heat != 1 and isinstance(task, Classification):
            outputs = logits(outputs) / heat
        loss = task.loss(outputs, batch)
    for name, value in model.named_buffers():
        value.data.copy_(buffers[name])
    return loss


def _gradients(loss: Tensor, weights: Mapping[str, Tensor], again: bool = False) -> Scores:
    """Return the gradient of every weight, zeros where ``loss`` does not depend on it."""
    found = torch.autograd.grad(
        loss, list(weights.values()), create_graph=again, allow_unused=True, materialize_grads=True
    )
    return dict(zip(weights, found, strict=True))


def _ones(leaf: Tensor) -> Tensor:
    if not leaf.is_floating_point():
        return leaf
    return torch.ones_like(leaf, dtype=torch.float64)
