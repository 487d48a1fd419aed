"""Summary of trainings over seeds: figures by level, means, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from autoprune.commands.ticket.training.trial import TicketTrial
from autoprune.foundation.statistics import Estimate, difference, estimate

TrialsByKind = Mapping[str, TicketTrial]
"""Trials of one seed at one level, by kind of training."""


class Level(NamedTuple):
    """Trials that are compared with each other: those of one level of pruning, or of one mask.

    ``share`` is the fraction of weights left; ``name`` distinguishes levels with the same share.
    """

    share: float
    seeds: Mapping[int, TrialsByKind]
    name: str = ""

    @property
    def trials(self) -> list[TrialsByKind]:
        """Trials of every seed."""
        return list(self.seeds.values())

    @property
    def title(self) -> str:
        """Title of its panel in a plot."""
        return self.name or f"{100 * self.share:.3g} % of the weights"


def level_json(level: Level) -> dict[str, Any]:
    """Return a level as JSON: every seed's figures, their means, the ticket's paired differences.

    Accuracies are fractions of the test split, margins those of 95 % intervals (null for one seed).
    """
    by_kind = {kind: [trials[kind] for trials in level.trials] for kind in level.trials[0]}
    return {
        "remaining": round(level.share, 6),
        **({"name": level.name} if level.name else {}),
        "seeds": [
            {"seed": seed, **{kind: figures(trial) for kind, trial in trials.items()}}
            for seed, trials in level.seeds.items()
        ],
        "means": {
            kind: {name: value.to_json() for name, value in means(trials).items()}
            for kind, trials in by_kind.items()
        },
        "ticket_minus": {
            kind: {
                name: difference(
                    _figures(by_kind["ticket"], name), _figures(trials, name)
                ).to_json()
                for name in _figure_names(trials)
            }
            for kind, trials in by_kind.items()
            if kind != "ticket"
        },
    }


def figures(trial: TicketTrial) -> dict[str, Any]:
    """Return the figures of one trial without its curve."""
    return {
        "accuracy": trial.accuracy,
        "early_stop": trial.early_stop,
        "accuracy_early_stop": trial.accuracy_early_stop,
        "accuracy_at": dict(trial.accuracy_at),
    }


def means(trials: Sequence[TicketTrial]) -> dict[str, Estimate]:
    """Return the mean over seeds of every figure."""
    return {name: estimate(_figures(trials, name)) for name in _figure_names(trials)}


def compare(value: Estimate) -> str:
    """Return a difference in accuracy in words, with its 95 % interval."""
    gap = f"{100 * value.mean:+.2f} ± {100 * value.margin:.2f} points"
    if value.positive:
        return f"better ({gap})"
    return f"worse ({gap})" if value.negative else f"not distinguishable ({gap})"


def gap(seeds: Sequence[TrialsByKind], one: str, other: str, name: str = "accuracy") -> Estimate:
    """Return the paired difference of a figure between two kinds of training."""
    return difference(
        _figures([trials[one] for trials in seeds], name),
        _figures([trials[other] for trials in seeds], name),
    )


def _figure_names(trials: Sequence[TicketTrial]) -> list[str]:
    common = [at for at in trials[0].accuracy_at if all(at in t.accuracy_at for t in trials)]
    reported = [f"accuracy_at_{at}" for at in common]
    return ["accuracy", "early_stop", "accuracy_early_stop", *reported]


def _figures(trials: Sequence[TicketTrial], name: str) -> list[float]:
    iteration = name.removeprefix("accuracy_at_")
    return [
        trial.accuracy_at[iteration] if iteration != name else float(getattr(trial, name))
        for trial in trials
    ]
