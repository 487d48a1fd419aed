"""Criteria that draw a mask before any training: magnitude, SNIP, GraSP and SynFlow."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.commands.ticket.masks import Masks, full_masks, keep_highest
from autoprune.data import Samples
from autoprune.data.classification import Classification, logits
from autoprune.data.task import Task, arguments
from autoprune.errors import UsageError
from autoprune.networks.execution import device_of, forward, mode, move


@dataclass(frozen=True)
class CriteriaConfig:
    """Settings of the criteria.

    - ``samples``: training samples that SNIP and GraSP take their gradients from.
    - ``rounds``: rounds in which SynFlow prunes (Tanaka et al. 2020, section 6).
    - ``temperature``: that of the softmax whose loss GraSP differentiates.
    """

    samples: int = 256
    rounds: int = 100
    temperature: float = 200.0


DEFAULT: Final = CriteriaConfig()

Scores = dict[str, Tensor]

Criterion = Callable[[nn.Module, Samples, Task, int, CriteriaConfig], Masks]
"""Draws masks that keep so many weights in all, for a network at initialization."""


def magnitude(
    model: nn.Module, split: Samples, task: Task, keep: int, config: CriteriaConfig = DEFAULT
) -> Masks:
    """Keep the largest initial weights."""
    masks = full_masks(model)
    return keep_highest({name: _weights(model)[name].abs() for name in masks}, masks, keep)


def snip(
    model: nn.Module, split: Samples, task: Task, keep: int, config: CriteriaConfig = DEFAULT
) -> Masks:
    """Keep the weights w with the largest |w * dL/dw| (Lee et al. 2019, SNIP, equation 6)."""
    masks = full_masks(model)
    weights = {name: _weights(model)[name] for name in masks}
    gradients = _gradients(_loss(model, split, task, config.samples), weights)
    return keep_highest(
        {name: (weights[name] * g).abs() for name, g in gradients.items()}, masks, keep
    )


def grasp(
    model: nn.Module, split: Samples, task: Task, keep: int, config: CriteriaConfig = DEFAULT
) -> Masks:
    """Keep the weights w with the largest w * Hg (Wang et al. 2020, GraSP, equation 8).

    There -w * Hg is the growth of the gradient's norm when w is removed; the weights with the
    largest are removed. As in the authors' code the logits of a classifier are divided by the
    temperature first: otherwise weights stay that saturate the softmax, and LeNet-300-100 hardly
    trains.
    """
    masks = full_masks(model)
    weights = {name: _weights(model)[name] for name in masks}
    gradients = _gradients(
        _loss(model, split, task, config.samples, config.temperature), weights, again=True
    )
    flow = torch.stack([(g * g.detach()).sum() for g in gradients.values()]).sum()
    products = _gradients(flow, weights)
    return keep_highest({name: weights[name] * h for name, h in products.items()}, masks, keep)


def synflow(
    model: nn.Module, split: Samples, task: Task, keep: int, config: CriteriaConfig = DEFAULT
) -> Masks:
    """Keep the weights that most paths of large weights go through, without data.

    Tanaka et al. 2020, algorithm 1: with every tensor replaced by its absolute value and an input
    of ones, w * dR/dw for the sum R of the outputs, in rounds that shrink the part kept
    exponentially.
    """
    masks, model = full_masks(model), copy.deepcopy(model).double()
    total = sum(mask.numel() for mask in masks.values())
    state = model.state_dict()
    for value in state.values():
        value.abs_()
    initial = {name: _weights(model)[name].detach().clone() for name in masks}
    batch = tree_map(_ones, next(split.take(1).batches(1)))
    if not any(leaf.is_floating_point() for leaf in tree_leaves(arguments(task, batch))):
        raise UsageError("synflow needs inputs that are numbers, not codes", "leave synflow out")
    for step in range(1, config.rounds + 1):
        weights = {name: _weights(model)[name] for name in masks}
        with torch.no_grad():
            for name, value in weights.items():
                value.copy_(initial[name] * masks[name].to(value.device))
        with mode(model, train=False):
            outputs = forward(model, task, move(batch, device_of(model)))
        flow = torch.stack([leaf.sum() for leaf in tree_leaves(outputs)]).sum()
        scores = {name: weights[name] * g for name, g in _gradients(flow, weights).items()}
        kept = round(total * (keep / total) ** (step / config.rounds))
        masks = keep_highest(scores, masks, kept)
    return masks


CRITERIA: Final[Mapping[str, Criterion]] = {
    "magnitude": magnitude,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
}
"""Criteria by the names that ``--early`` takes."""


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters())


def _loss(
    model: nn.Module, split: Samples, task: Task, samples: int, temperature: float = 1.0
) -> Tensor:
    """Return the loss on training samples, in train mode; batch statistics are restored.

    ``temperature`` divides the logits of classifiers.
    """
    batch = move(next(split.take(samples).batches(samples)), device_of(model))
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    with mode(model, train=True):
        outputs = forward(model, task, batch)
        if temperature != 1 and isinstance(task, Classification):
            outputs = logits(outputs) / temperature
        loss = task.loss(outputs, batch)
    for name, value in model.named_buffers():
        value.data.copy_(buffers[name])
    return loss


def _gradients(loss: Tensor, weights: Mapping[str, Tensor], again: bool = False) -> Scores:
    """Return the gradient of every weight, zeros where ``loss`` does not depend on it."""
    gradients = torch.autograd.grad(
        loss, list(weights.values()), create_graph=again, allow_unused=True, materialize_grads=True
    )
    return dict(zip(weights, gradients, strict=True))


def _ones(leaf: Tensor) -> Tensor:
    """Return ones in place of floats; integers, which may be codes, stay."""
    if not leaf.is_floating_point():
        return leaf
    return torch.ones_like(leaf, dtype=torch.float64)
