"""Check that network, data and task fit together, on two samples before any work."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.utils._pytree import tree_leaves

from autoprune.data import Data
from autoprune.data.classification import IGNORED, Classification
from autoprune.data.task import Task, arguments
from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.networks.execution import device_of, forward, mode, move
from autoprune.networks.text_fit import check_tokens
from autoprune.structure.copies import COPIED, plain_copy, require_no_need_of_hooks
from autoprune.structure.finite import require_finite


def check_compatible(model: nn.Module, data: Data, task: Task) -> None:
    """Run two training samples through ``model`` to check that model, data and task fit together.

    Raises UsageError, in one line, if the model cannot be copied, keeps other things than tensors,
    computes weights from masks of ``torch.nn.utils.prune``
    or insists on a number of samples, if a weight is NaN or infinite, if the model does not accept
    the samples, if outputs are not finite, if the task cannot read them, or, in classification, if
    labels are no integers or there are fewer outputs than classes.
    """
    _check_weights(model)
    _refuse_masks(model)
    check_tokens(model, data)
    with blamed("the model cannot be copied", COPIED):
        copy.deepcopy(model)
        own, model = model, plain_copy(model)
    batch = move(next(data.train.take(2).batches(2)), device_of(model))
    with blamed(f"task {task.name!r} finds no inputs in a batch of {data.name}"):
        args, kwargs = arguments(task, batch)
        shapes = " and ".join(str(list(leaf.shape)) for leaf in tree_leaves((args, kwargs)))
    require_no_need_of_hooks(own, lambda network: forward(network, task, batch))
    with torch.no_grad(), mode(model, train=False):
        with blamed(f"the model does not accept a batch of {data.name} of shape {shapes}"):
            outputs = forward(model, task, batch)
            for other in data.train.take(3).batches(3):
                forward(model, task, move(other, device_of(model)))
        for leaf in tree_leaves(outputs):
            if isinstance(leaf, Tensor) and not bool(leaf.isfinite().all()):
                raise UsageError(
                    f"the model returns NaN or infinity on {data.name}",
                    "it must work before it can be pruned: check weights and normalization",
                )
        if isinstance(task, Classification):
            _check_labels(task.logits(outputs), data, task)
        with blamed(f"task {task.name!r} does not fit the model's outputs"):
            loss, score = task.loss(outputs, batch), task.score(outputs, batch)
    _check_verdict(task, loss, score)


def _check_weights(model: nn.Module) -> None:
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise UsageError(
                f"{name} of the model is {type(value).__name__}, not a tensor",
                "only tensors are stored: take get_extra_state out of the module",
            )
        if is_lazy(value) or value.is_meta:
            raise UsageError(f"{name} of the model has no values yet", "run and train it first")
    for name, parameter in model.named_parameters():
        if not (parameter.is_floating_point() or parameter.is_complex()):
            kind = str(parameter.dtype).removeprefix("torch.")
            raise UsageError(
                f"{name} of the model is {kind}: it is quantized", "prune it first, then quantize"
            )
        if ".lora_" in name:
            raise UsageError(
                f"{name} of the model is an adapter's", "merge it first: model.merge_and_unload()"
            )
    require_finite(model)


def _refuse_masks(model: nn.Module) -> None:
    """Raise UsageError where a weight is the product of a parameter and a mask.

    Repair would write to a weight that the next forward pass computes anew.
    """
    masked = [
        name or "the model itself"
        for name, module in model.named_modules()
        for hook in module._forward_pre_hooks.values()
        if isinstance(hook, BasePruningMethod)
    ]
    if masked:
        raise UsageError(
            f"torch.nn.utils.prune still masks {', '.join(dict.fromkeys(masked)):.200}",
            "make the zeros part of the weights: torch.nn.utils.prune.remove(module, 'weight')",
        )


def _check_verdict(task: Task, loss: Any, score: Any) -> None:
    """Demand a finite scalar for a loss, and a score in [0, 1] for each of two samples."""
    hint = "loss() returns a finite scalar, score() one value in [0, 1] per sample, both as tensors"
    for what, value in (("a loss", loss), ("scores", score)):
        if not isinstance(value, Tensor):
            raise UsageError(f"task {task.name!r} returns {type(value).__name__} for {what}", hint)
    if loss.numel() != 1 or score.shape != (2,):
        raise UsageError(
            f"task {task.name!r} returns a loss of shape {list(loss.shape)} and scores of shape"
            f" {list(score.shape)} for 2 samples",
            hint,
        )
    if not bool(loss.isfinite()):
        raise UsageError(f"task {task.name!r} returns the loss {loss.item()}", hint)
    if not bool(((score >= 0) & (score <= 1)).all()):
        raise UsageError(f"task {task.name!r} returns the scores {score.tolist()}", hint)


def _check_labels(outputs: Tensor, data: Data, task: Classification) -> None:
    classes = outputs.shape[1] if outputs.ndim > 1 else 0
    if not classes:
        raise UsageError(
            f"the model returns {list(outputs.shape)} for 2 samples, not logits [2, classes]",
            "bring a task of your own for other outputs: --task file.py:function",
        )
    given = task.class_weights.given if task.class_weights else ()
    if given and len(given) != classes:
        raise UsageError(
            f"{len(given)} class weights were given, but the model has outputs for {classes}"
            " classes",
            "one for each class, in their order; balanced works them out",
        )
    for name, split in data.splits.items():
        labels = task.labels(split.probe)
        if labels.is_floating_point():
            kind = str(labels.dtype).removeprefix("torch.")
            raise UsageError(
                f"the labels of {name} are {kind}, not integers",
                "bring a task of your own for other targets: --task file.py:function",
            )
        if labels.shape[1:] != outputs.shape[2:]:
            raise UsageError(
                f"the labels of {name} have shape {list(labels.shape[1:])} per sample, the model's"
                f" outputs leave {list(outputs.shape[2:])}",
                "a label is the number of a class; lines of text need --task ctc, pairs of texts"
                " seq2seq-lm",
            )
        ignored = torch.tensor([label for label in IGNORED if not 0 <= label < classes])
        labels = labels[~torch.isin(labels, ignored)]
        if not labels.numel():
            raise UsageError(f"every label of {name} is to be ignored", "give it some labels")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise UsageError(
                f"the model has outputs for {classes} classes, but {name} has label"
                f" {low if low < 0 else high}",
                "labels run from 0 to classes - 1",
            )
