"""What the trainings of all seeds come to: figures by level, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from autoprune.lottery.statistics import Estimate, difference, estimate
from autoprune.lottery.trial import Trial

CONTROLS = ("dense", "reinit", "shuffled")

FEWEST = 3
"""Seeds below which nothing is concluded: two equal differences by accident look like certainty."""

SMALL = 0.01
"""An advantage in accuracy that is too small to be worth a claim."""

Trials = Mapping[str, Trial]
"""The trainings of one seed at one level, by kind."""


def level_json(share: float, seeds: Mapping[int, Trials]) -> dict[str, Any]:
    """Return one level: every seed's figures, their means, and the ticket's paired differences.

    Accuracies are fractions of the test split, margins those of 95 % intervals (null for one seed).
    """
    by_kind = {
        kind: [trials[kind] for trials in seeds.values()] for kind in next(iter(seeds.values()))
    }
    return {
        "remaining": round(share, 6),
        "seeds": [
            {"seed": seed, **{kind: figures(trial) for kind, trial in trials.items()}}
            for seed, trials in seeds.items()
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


def verdict(levels: Sequence[tuple[float, Sequence[Trials]]]) -> list[str]:
    """Say, for pruned levels (fraction left, trials by seed), what the evidence allows to say.

    A winning ticket is on average no less accurate than the dense network, reaches the best
    validation accuracy of that no later in any seed, and beats the same mask with fresh weights
    beyond the 95 % interval (after Frankle and Carbin 2019, section 1; early stopping says little
    when training ends before it).
    """
    if len(levels[0][1]) < FEWEST:
        return [
            f"Too few seeds to tell differences from chance: repeat with --seeds {FEWEST} or more."
        ]
    winning = [share for share, seeds in levels if _wins(seeds)]
    said = ", ".join(f"{100 * share:.1f} %" for share in winning)
    lines = [
        f"Winning tickets with {said} of the weights left: as accurate as the dense network or"
        " more, no later, and better than with fresh weights."
        if winning
        else "No winning ticket: none matches the dense network and surely beats fresh weights."
    ]
    share, seeds = levels[-1]
    lines.append(f"With {100 * share:.1f} % left, the ticket is {_compared(seeds)}.")
    return lines


def mask_verdict(seeds: Sequence[Trials]) -> list[str]:
    """Say what a search's mask owes to its weights and to its choice of units."""
    if len(seeds) < FEWEST:
        return [
            f"Too few seeds to tell differences from chance: repeat with --seeds {FEWEST} or more."
        ]
    parts = {
        "initial weights": gap(seeds, "ticket", "reinit"),
        "choice of units": gap(seeds, "ticket", "shuffled"),
    }
    helping = [what for what, value in parts.items() if value.positive]
    blur = max(value.mean + value.margin for value in parts.values())
    if helping:
        first = f"More than the ratios matters: the {' and the '.join(helping)} gives an advantage."
    elif blur <= SMALL:
        first = (
            "Only the ratios matter: neither the initial weights nor the choice of units gives an"
            f" advantage of more than {100 * SMALL:g} point."
        )
    else:
        first = (
            "Nothing shows that more than the ratios matters, but an advantage of up to"
            f" {100 * blur:.2f} points would go unseen; more seeds can settle it."
        )
    return [
        first,
        f"The ticket is {_compared(seeds)}.",
        f"Fine-tuning the trained weights against training the ticket:"
        f" {compare(gap(seeds, 'finetune', 'ticket'))}.",
    ]


def compare(value: Estimate) -> str:
    """Say what an interval of a difference in accuracy allows to say."""
    gap = f"{100 * value.mean:+.2f} +- {100 * value.margin:.2f} points"
    if value.positive:
        return f"better ({gap})"
    return f"worse ({gap})" if value.negative else f"not told apart ({gap})"


def gap(seeds: Sequence[Trials], one: str, other: str, name: str = "accuracy") -> Estimate:
    """Return the paired difference of a figure between two kinds of training."""
    return difference(
        _column([trials[one] for trials in seeds], name),
        _column([trials[other] for trials in seeds], name),
    )


def _wins(seeds: Sequence[Trials]) -> bool:
    return (
        gap(seeds, "ticket", "dense").mean >= 0
        and all(_as_fast(trials["ticket"], trials["dense"]) for trials in seeds)
        and gap(seeds, "ticket", "reinit").positive
    )


def _as_fast(ticket: Trial, dense: Trial) -> bool:
    """Say whether the ticket reaches the dense network's best validation accuracy no later."""
    goal = max(accuracy for _, _, accuracy in dense.curve)
    reached, needed = (
        next((step for step, _, accuracy in trial.curve if accuracy >= goal), inf)
        for trial in (ticket, dense)
    )
    return reached <= needed


def _compared(seeds: Sequence[Trials]) -> str:
    parts = []
    for kind, what in (
        ("dense", "the dense network"),
        ("reinit", "the same mask with fresh weights"),
        ("shuffled", "others in the same numbers in every layer"),
    ):
        word, _, rest = compare(gap(seeds, "ticket", kind)).partition(" (")
        joint = "from" if word.startswith("not") else "than"
        parts.append(f"{word} {joint} {what} ({rest}")
    return ", ".join(parts)


def _columns(trials: Sequence[Trial]) -> list[str]:
    marks = [name for name in trials[0].accuracy_at if all(name in t.accuracy_at for t in trials)]
    return ["accuracy", "early_stop", "accuracy_early_stop", *(f"accuracy_at_{m}" for m in marks)]


def _column(trials: Sequence[Trial], name: str) -> list[float]:
    mark = name.removeprefix("accuracy_at_")
    return [
        trial.accuracy_at[mark] if mark != name else float(getattr(trial, name)) for trial in trials
    ]
