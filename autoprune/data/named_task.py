"""Tasks by name (``--task``): classification with its options, ctc, or a function of the user's."""

from __future__ import annotations

from dataclasses import replace
from inspect import isroutine
from typing import Final

import torch
from torch.nn.functional import pad

from autoprune.data.causal_lm import CausalLanguageModeling
from autoprune.data.class_scores import ACCURACY, find_score
from autoprune.data.class_weights import ClassWeights
from autoprune.data.classification import IGNORED, KIND, Classification, PooledClassification
from autoprune.data.ctc import CTC
from autoprune.data.ctc import NAME as CTC_NAME
from autoprune.data.detection import Detection
from autoprune.data.masked_lm import MaskedLanguageModeling
from autoprune.data.samples import Samples
from autoprune.data.seq2seq_lm import Seq2SeqLanguageModeling
from autoprune.data.task import Task
from autoprune.data.token_classification import TokenClassification
from autoprune.errors import UsageError
from autoprune.foundation import plugins, trust
from autoprune.foundation.user_code import call, is_factory, load, refuse_malformed

TASKS: Final[tuple[Task, ...]] = (
    *(CTC(), Detection()),
    *(CausalLanguageModeling(), MaskedLanguageModeling(), Seq2SeqLanguageModeling()),
    TokenClassification(),
)
"""Tasks without options, by their names."""

LABELS_AT_ONCE: Final = 1024
"""Training samples whose labels are counted at once."""


def resolve_task(spec: object) -> Task:
    """Return the task that ``spec`` is or names.

    Names are those of :data:`TASKS`, and ``file.py:function``.

    Options may follow classification: ``classification,score=mean-iou,class_weights=balanced``
    (:mod:`autoprune.data.class_scores`, :mod:`autoprune.data.class_weights`).

    Raises UsageError if it names nothing, something that is not a task, or an unknown option.
    """
    if not isinstance(spec, str):
        return check_task(spec)
    kind, *options = spec.split(",")
    if kind == KIND:
        return _classification(options)
    if kind == CTC_NAME:
        return _ctc(options)
    for known in TASKS:
        if spec == known.name:
            return known
    if not is_factory(spec):
        refuse_malformed(spec)
        if plugins.known("tasks", spec):
            made = plugins.find("tasks", spec)
            called = isinstance(made, type) or isroutine(made)
            return check_task(call(f"task {spec!r}", made) if called else made)
        raise UsageError(
            f"unknown task {spec!r}",
            f"{KIND}, {', '.join(known.name for known in TASKS)}, or file.py:function",
        )
    function, factory = load(spec)
    trust.allow(factory)
    return check_task(call(factory.name, function))


def _classification(options: list[str]) -> Classification:
    given = dict.fromkeys(("score", "class_weights"), "")
    for option in options:
        name, equals, value = option.partition("=")
        if name not in given or not equals:
            raise UsageError(
                f"classification has no option {option!r}",
                "write classification,score=balanced-accuracy,class_weights=balanced",
            )
        given[name] = value
    weights = ClassWeights.parse(given["class_weights"]) if given["class_weights"] else None
    if find_score(given["score"] or ACCURACY) is None:
        return Classification(class_weights=weights)
    return PooledClassification(class_weights=weights, scored_by=given["score"])


def _ctc(options: list[str]) -> CTC:
    match [option.partition("=") for option in options]:
        case []:
            return CTC()
        case [("blank", "=", number)] if number.isdecimal():
            return CTC(blank=int(number))
    raise UsageError(f"ctc has no option {options[0]!r}", "write ctc,blank=31")


def weighed(task: Task, train: Samples) -> Task:
    """Return the task with its class weights, if it has any, scaled by the training labels.

    Raises UsageError if they are fewer than the classes.
    """
    if not isinstance(task, Classification) or task.class_weights is None:
        return task
    counts = torch.zeros(0)
    for batch in train.batches(LABELS_AT_ONCE):
        labels = task.labels(batch).flatten()
        more = torch.bincount(labels[(labels >= 0) & (labels != IGNORED[1])]).double()
        size = max(len(counts), len(more))
        counts = pad(counts, (0, size - len(counts))) + pad(more, (0, size - len(more)))
    return replace(task, class_weights=task.class_weights.scaled(counts))


def check_task(candidate: object) -> Task:
    """Return ``candidate`` if it is a task; raise UsageError naming what it lacks."""
    wanted = ("name", "inputs", "loss", "score")
    missing = [member for member in wanted if not hasattr(candidate, member)]
    missing += [
        f"{member}()"
        for member in wanted[1:]
        if member not in missing and not callable(getattr(candidate, member))
    ]
    if missing or not isinstance(candidate, Task):
        raise UsageError(
            f"{type(candidate).__name__} is not a task: it lacks {', '.join(missing)}",
            "a task has name, inputs(batch), loss(outputs, batch) and score(outputs, batch)",
        )
    return candidate
