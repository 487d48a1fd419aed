"""Callbacks: a caller's objects that hear of every evaluation and every epoch, and may stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.structure.plan import Plan
from autoprune.training.ending import Stopped

METHODS: Final = ("on_evaluation", "on_epoch")


@dataclass(frozen=True)
class Trial:
    """One evaluation of a search.

    ``number`` from 1, of at most ``evaluations``; ``plan``, its ``loss`` and ``score`` on the
    search split; ``best_loss`` so far, of complete evaluations (infinite before the first);
    ``recalled``: known from the run that is continued.
    """

    number: int
    evaluations: int
    plan: Plan
    loss: float
    score: float
    best_loss: float
    recalled: bool
    _stop: Callable[[str], None] = field(repr=False, compare=False)

    def stop(self, reason: str = "a callback asked for it") -> None:
        """End the search; what it has found is built, fine-tuned and delivered."""
        self._stop(reason)


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training: ``number`` from 1 of ``epochs``, with its mean ``loss``.

    ``training``: train, finetune, finetune-plain (of the baseline) or finetune-dense.
    """

    training: str
    number: int
    epochs: int
    loss: float
    _asked: list[str] = field(repr=False, compare=False)

    def stop(self, reason: str = "a callback asked for it") -> None:
        """End this training; its best weights so far are delivered."""
        self._asked.append(reason)


class Callback:
    """Base of callbacks, which any object with one of the two methods may be.

    A continued run tells of everything that it continues from once more.
    """

    def on_evaluation(self, trial: Trial) -> None:
        """Hear of an evaluation; ``trial.stop()`` ends the search."""

    def on_epoch(self, epoch: Epoch) -> None:
        """Hear of an epoch; ``epoch.stop()`` ends the training."""


@dataclass(frozen=True)
class Callbacks:
    """Callbacks of one run; errors name the callback and say where the run is kept."""

    callbacks: tuple[Callback, ...]
    run: Path | None = None

    def evaluation(self, trial: Trial) -> None:
        """Tell of an evaluation."""
        self._tell("on_evaluation", trial)

    def epoch(self, training: str, number: int, epochs: int, loss: float) -> None:
        """Tell of an epoch; raises Stopped if one asks for it."""
        epoch = Epoch(training, number, epochs, loss, [])
        self._tell("on_epoch", epoch)
        if epoch._asked:
            raise Stopped(epoch._asked[0])

    def _tell(self, method: str, event: Any) -> None:
        kept = f"what was done is in {self.run}; the same call goes on from there"
        for callback in self.callbacks:
            name = f"{type(callback).__name__}.{method}()"
            with blamed(f"callback {name} fails", kept if self.run else "--debug shows where"):
                getattr(callback, method, _ignore)(event)


def check_callbacks(callbacks: object) -> tuple[Callback, ...]:
    """Return callbacks as a tuple; raise UsageError naming one that has none of the methods."""
    if not isinstance(callbacks, Iterable):
        raise UsageError(
            f"callbacks is a {type(callbacks).__name__}, not a list", "pass callbacks=[callback]"
        )
    found = tuple(callbacks)
    for callback in found:
        if isinstance(callback, type):
            raise UsageError(
                f"{callback.__name__} is a class, not a callback", f"pass {callback.__name__}()"
            )
        if not any(callable(getattr(callback, method, None)) for method in METHODS):
            raise UsageError(
                f"{type(callback).__name__} is not a callback: it lacks"
                f" {' and '.join(f'{method}()' for method in METHODS)}",
                "a callback has on_evaluation(trial), on_epoch(epoch), or both",
            )
    return cast(tuple[Callback, ...], found)


def _ignore(event: object) -> None:
    del event
