"""Verdicts: what the figures of a study show, in words."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from statistics import fmean

from autoprune.commands.ticket.evidence.summary import Level, TrialsByKind, compare, gap
from autoprune.commands.ticket.training.trial import TicketTrial
from autoprune.foundation.statistics import Estimate, estimate

FEWEST = 3
"""Least number of seeds for a verdict: two differences that agree by accident look certain."""

TOO_FEW = f"Too few seeds to tell differences from chance: repeat with --seeds {FEWEST} or more."

SMALL = 0.01
"""Advantage in accuracy that is too small to be worth a claim."""


def verdict(levels: Sequence[Level]) -> list[str]:
    """Return the verdict on the pruned levels of iterative pruning.

    A winning ticket is on average no less accurate than the dense network, reaches the dense
    network's best validation accuracy no later in any seed, and beats the same mask with fresh
    weights beyond the 95 % interval (after Frankle and Carbin 2019, section 1; the early-stop
    iteration says little when training ends before it).
    """
    if _too_few(levels[0].trials):
        return [TOO_FEW]
    winning = [level.share for level in levels if _wins(level.trials)]
    shares = ", ".join(f"{100 * share:.1f} %" for share in winning)
    lines = [
        f"Winning tickets with {shares} of the weights left: as accurate as the dense network or"
        " more, no later, and better than with fresh weights."
        if winning
        else "No winning ticket: none matches the dense network and surely beats fresh weights."
    ]
    last = levels[-1]
    lines.append(
        f"With {100 * last.share:.1f} % left, the ticket is {_control_comparisons(last.trials)}."
    )
    return lines


def mask_verdict(seeds: Sequence[TrialsByKind], *, channels: bool) -> list[str]:
    """Return the verdict on the mask of a search: whether more than its ratios matters."""
    if _too_few(seeds):
        return [TOO_FEW]
    choice = "choice of units" if channels else "positions of the weights kept"
    parts = {
        "initial weights": gap(seeds, "ticket", "reinit"),
        choice: gap(seeds, "ticket", "shuffled"),
    }
    helping = [what for what, value in parts.items() if value.positive]
    blur = max(value.mean + value.margin for value in parts.values())
    if helping:
        first = f"More than the ratios matters: an advantage comes from the {_joined(helping)}."
    elif blur <= SMALL:
        first = (
            f"Only the ratios matter: neither the initial weights nor the {choice} give an"
            f" advantage of more than {100 * SMALL:g} point."
        )
    else:
        first = (
            "Nothing shows that more than the ratios matters, but an advantage of up to"
            f" {100 * blur:.2f} points would go unseen; more seeds can settle it."
        )
    return [
        first,
        f"The ticket is {_control_comparisons(seeds)}.",
        "Against training the ticket: "
        + "; ".join(
            f"{what} {compare(gap(seeds, kind, 'ticket'))}"
            for kind, what in (
                ("finetune", "fine-tuning the trained weights is"),
                ("lr_rewind", "rewinding their learning rate is"),
                ("reinit_same_flops", "fresh weights trained for as many FLOPs as the dense are"),
            )
        )
        + ".",
    ]


def _wins(seeds: Sequence[TrialsByKind]) -> bool:
    return (
        gap(seeds, "ticket", "dense").mean >= 0
        and all(_as_fast(trials["ticket"], trials["dense"]) for trials in seeds)
        and gap(seeds, "ticket", "reinit").positive
    )


def _as_fast(ticket: TicketTrial, dense: TicketTrial) -> bool:
    """Whether the ticket reaches the dense network's best validation accuracy no later."""
    goal = max(accuracy for _, _, accuracy in dense.curve)
    reached, needed = (
        next((step for step, _, accuracy in trial.curve if accuracy >= goal), inf)
        for trial in (ticket, dense)
    )
    return reached <= needed


def early_verdict(masks: Sequence[Level]) -> list[str]:
    """Return the verdict on early masks: which beat fresh weights and a shuffled mask."""
    if _too_few(masks[0].trials):
        return [TOO_FEW]
    lines = [
        f"The mask {_mask_name(mask.name)} is {_control_comparisons(mask.trials)}."
        for mask in masks
    ]
    better = [
        mask.name
        for mask in masks
        if all(gap(mask.trials, "ticket", kind).positive for kind in ("reinit", "shuffled"))
    ]
    return [
        "Surely better than fresh weights and than a shuffled mask:"
        f" {', '.join(better) or 'none'}.",
        *lines,
    ]


def transfer_verdict(seeds: Sequence[TrialsByKind]) -> list[str]:
    """Return the verdict on a transferred ticket: whether it beats a random one."""
    if _too_few(seeds):
        return [TOO_FEW]
    names = dict.fromkeys(("accuracy", *_early_figures(seeds)))
    lines = []
    for name in names:
        beats = {kind: gap(seeds, "ticket", kind, name) for kind in ("reinit", "shuffled")}
        when = "At the end" if name == "accuracy" else f"After {name.split('_')[-1]} iterations"
        if all(value.positive for value in beats.values()):
            finding = (
                "the ticket transfers: it is surely better than fresh weights and than shuffled"
            )
        elif any(value.positive for value in beats.values()):
            finding = "the ticket beats only one of its controls: no proof that it transfers"
        else:
            finding = "nothing shows that the ticket transfers"
        parts = [
            f"{what}: {compare(gap(seeds, 'ticket', kind, name))}"
            for kind, what in (
                ("reinit", "fresh weights"),
                ("shuffled", "shuffled"),
                ("dense", "dense"),
                ("own", "own ticket"),
            )
        ]
        lines.append(f"{when}, {finding}. Against {'; '.join(parts)}.")
    return lines


def continual_verdict(weeks: Sequence[Level], count: int, pays: int | None) -> list[str]:
    """Return the verdict on continued use.

    ``count`` is the number of weeks, ``pays`` the week after which the ticket has paid for itself.
    """
    if _too_few(weeks[0].trials):
        return [TOO_FEW]
    pooled = [mean_gap(weeks, kind) for kind in ("dense", "reinit", "shuffled")]
    words = ("the dense network", "the same mask with fresh weights", "a shuffled mask")
    lines = [
        "Over all later weeks the ticket is "
        + ", ".join(
            _comparison_text(value, what) for value, what in zip(pooled, words, strict=True)
        )
        + "."
    ]
    if pays is None:
        return [*lines, "Training it costs no fewer multiply-adds than training the dense network."]
    when = "that lies within" if pays <= count else "that lies beyond"
    return [
        *lines,
        f"If multiplying by zero were free, finding it would be paid for after {pays} weeks;"
        f" {when} the {count} here. Without sparse kernels it never is.",
    ]


def mean_gap(weeks: Sequence[Level], kind: str) -> Estimate:
    """Return the ticket's advantage over a kind, averaged over weeks within each seed."""
    by_seed = zip(*(week.trials for week in weeks), strict=True)
    return estimate(
        [
            fmean(trials["ticket"].accuracy - trials[kind].accuracy for trials in weeks_of_seed)
            for weeks_of_seed in by_seed
        ]
    )


def _too_few(seeds: Sequence[TrialsByKind]) -> bool:
    return len(seeds) < FEWEST


def _control_comparisons(seeds: Sequence[TrialsByKind]) -> str:
    return ", ".join(
        _comparison_text(gap(seeds, "ticket", kind), what)
        for kind, what in (
            ("dense", "the dense network"),
            ("reinit", "the same mask with fresh weights"),
            ("shuffled", "others in the same numbers in every layer"),
        )
    )


def _comparison_text(value: Estimate, what: str) -> str:
    word, _, rest = compare(value).partition(" (")
    return f"{word} {'from' if word.startswith('not') else 'than'} {what} ({rest}"


def _joined(words: Sequence[str]) -> str:
    return " and the ".join(words)


def _mask_name(name: str) -> str:
    return "of the trained network" if name == "end" else f"of {name}"


def _early_figures(seeds: Sequence[TrialsByKind]) -> list[str]:
    return ["accuracy_at_300"] if "300" in seeds[0]["ticket"].accuracy_at else []
