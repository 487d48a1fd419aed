"""Tasks by name (``--task``): classification with its options, ctc, or a function of the user's."""

from __future__ import annotations

from autoprune.data.classification import Classification
from autoprune.data.ctc import CTC
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.foundation import trust
from autoprune.foundation.user_code import call, is_factory, load, refuse_malformed


def resolve_task(spec: object) -> Task:
    """Return the task that ``spec`` is or names: classification, ctc, ``file.py:function``.

    Raises UsageError if it names nothing, or something that is not a task.
    """
    if not isinstance(spec, str):
        return check_task(spec)
    for known in (Classification(), CTC()):
        if spec == known.name:
            return known
    if not is_factory(spec):
        refuse_malformed(spec)
        raise UsageError(f"unknown task {spec!r}", "classification, ctc, or file.py:function")
    function, factory = load(spec)
    trust.allow(factory)
    return check_task(call(factory.name, function))


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
