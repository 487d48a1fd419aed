"""Distillation loss: the network's outputs beside those of its teacher."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from autoprune.data.classification import Classification, logits
from autoprune.data.language_modeling import LanguageModeling
from autoprune.data.task import Batch, Task


def teachable(task: Task) -> bool:
    """Whether softened classes mean something to a task."""
    return isinstance(task, (Classification, LanguageModeling))


def distillation(outputs: Any, target: Any, batch: Batch, task: Task, temperature: float) -> Tensor:
    """Return the divergence of softened classes, T^2 KL(target / T || outputs / T), a scalar.

    Outputs are logits [B, classes, ...] (:func:`autoprune.data.task.logits`); of a language model,
    those of the tokens that count. The sum runs over the classes, the mean over everything else
    that has a label, as for the cross-entropy beside it (Hinton et al. 2015, arXiv:1503.02531,
    section 2, whose factor T^2 keeps the gradients of both of one size).
    """

    def read(values: Any) -> Tensor:
        if isinstance(task, LanguageModeling):
            return task.taught(values, batch)
        return task.logits(values) if isinstance(task, Classification) else logits(values)

    student, taught = (
        log_softmax(read(values).float() / temperature, dim=1) for values in (outputs, target)
    )
    each = kl_div(student, taught, reduction="none", log_target=True).sum(1)
    labeled = task.labeled(outputs, batch) if isinstance(task, Classification) else None
    mean = each.mean() if labeled is None else each[labeled].sum() / labeled.sum().clamp_min(1)
    return temperature**2 * mean
