"""What the trainings of all seeds come to: figures by level, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from autoprune.commands.ticket.trial import Trial
from autoprune.foundation.statistics import Estimate, difference, estimate

Trials = Mapping[str, Trial]
"""The trainings of one seed at one level, by kind."""


class Group(NamedTuple):
    """The trainings that are compared with each other.

    ``share`` is the part of the weights left, ``name`` what tells the group from others with as
    many, or nothing.
    """

    share: float
    seeds: Mapping[int, Trials]
    name: str = ""

    @property
    def trials(self) -> list[Trials]:
        """The trainings of every seed."""
        return list(self.seeds.values())

    @property
    def title(self) -> str:
        """What to call it in a picture."""
        return self.name or f"{100 * self.share:.3g} % of the weights"


def level_json(group: Group) -> dict[str, Any]:
    """Return one level: every seed's figures, their means, and the ticket's paired differences.

    Accuracies are fractions of the test split, margins those of 95 % intervals (null for one seed).
    """
    by_kind = {kind: [trials[kind] for trials in group.trials] for kind in group.trials[0]}
    return {
        "remaining": round(group.share, 6),
        **({"name": group.name} if group.name else {}),
        "seeds": [
            {"seed": seed, **{kind: figures(trial) for kind, trial in trials.items()}}
            for seed, trials in group.seeds.items()
        ],
        "means": {
            kind: {name: value.to_json() for name, value in means(trials).items()}
            for kind, trials in by_kind.items()
        },
        "ticket_minus": {
            kind: {
                name: difference(_column(by_kind["ticket"], name), _column(trials, name)).to_json()
                for name in _columns(trials)
            }
            for kind, trials in by_kind.items()
            if kind != "ticket"
        },
    }


def figures(trial: Trial) -> dict[str, Any]:
    """Return the figures of one training without its curve."""
    return {
        "accuracy": trial.accuracy,
        "early_stop": trial.early_stop,
        "accuracy_early_stop": trial.accuracy_early_stop,
        "accuracy_at": dict(trial.accuracy_at),
    }


def means(trials: Sequence[Trial]) -> dict[str, Estimate]:
    """Return the mean over seeds of every figure."""
    return {name: estimate(_column(trials, name)) for name in _columns(trials)}


def compare(value: Estimate) -> str:
    """Say what an interval of a difference in accuracy allows to say."""
    gap = f"{100 * value.mean:+.2f} ± {100 * value.margin:.2f} points"
    if value.positive:
        return f"better ({gap})"
    return f"worse ({gap})" if value.negative else f"not told apart ({gap})"


def gap(seeds: Sequence[Trials], one: str, other: str, name: str = "accuracy") -> Estimate:
    """Return the paired difference of a figure between two kinds of training."""
    return difference(
        _column([trials[one] for trials in seeds], name),
        _column([trials[other] for trials in seeds], name),
    )


def _columns(trials: Sequence[Trial]) -> list[str]:
    marks = [name for name in trials[0].accuracy_at if all(name in t.accuracy_at for t in trials)]
    return ["accuracy", "early_stop", "accuracy_early_stop", *(f"accuracy_at_{m}" for m in marks)]


def _column(trials: Sequence[Trial], name: str) -> list[float]:
    mark = name.removeprefix("accuracy_at_")
    return [
        trial.accuracy_at[mark] if mark != name else float(getattr(trial, name)) for trial in trials
    ]
