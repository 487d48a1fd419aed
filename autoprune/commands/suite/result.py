"""Result of ``autoprune suite``: every search, and what is read off them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import inf, isfinite
from statistics import fmean, median
from typing import Any, Final, Self

from autoprune.commands.suite.standings import Gap, gaps, ranks
from autoprune.errors import DamagedError

FORMAT: Final = 1

REACHED: Final = 0.1
"""Regret that counts as reached."""


Curve = tuple[tuple[int, float], ...]
"""Numbers of evaluations, ascending, and the least loss from there on."""


@dataclass(frozen=True)
class Entry:
    """Searches of one searcher at one budget, in the order of the seeds.

    ``losses``: least search loss of each; ``curves``: each evaluation that lowered it, and to what.
    ``answered``: evaluations by where they come from, over all seeds. ``chosen_from``: the same of
    the chosen plans. ``complaint``: why the searcher has no result here.
    """

    losses: tuple[float, ...] = ()
    curves: tuple[Curve, ...] = ()
    validation_losses: tuple[float, ...] = ()
    test_losses: tuple[float, ...] = ()
    test_accuracies: tuple[float, ...] = ()
    plans: tuple[tuple[int, ...], ...] = ()
    answered: Mapping[str, int] = field(default_factory=dict)
    chosen_from: Mapping[str, int] = field(default_factory=dict)
    complaint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        if self.complaint:
            return {"complaint": self.complaint}
        return {
            "loss": list(self.losses),
            "validation_loss": list(self.validation_losses),
            "test_loss": list(self.test_losses),
            "test_accuracy": list(self.test_accuracies),
            "evaluations": sum(self.answered.values()),
            "answered": _answered(self.answered),
            "chosen_from": _answered(self.chosen_from),
            "plans": [list(plan) for plan in self.plans],
            "curves": [[list(step) for step in curve] for curve in self.curves],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        if "complaint" in data:
            return cls(complaint=str(data["complaint"]))
        return cls(
            tuple(data["loss"]),
            tuple(tuple((int(at), float(loss)) for at, loss in one) for one in data["curves"]),
            tuple(data["validation_loss"]),
            tuple(data["test_loss"]),
            tuple(data["test_accuracy"]),
            tuple(map(tuple, data["plans"])),
            dict(data["answered"]),
            dict(data["chosen_from"]),
        )


@dataclass(frozen=True)
class Standing:
    """Searchers at one budget of a task.

    ``least``: the least loss of a recorded plan within the budget; ``uniform``: the loss of the
    uniform plan. A regret of 0 is the first, of 1 the second. ``quality``: the surrogate's error
    there; None where every plan is in the table.
    """

    budget: str
    least: float
    uniform: float
    entries: Mapping[str, Entry]
    quality: Mapping[str, float] | None = None

    @property
    def sound(self) -> dict[str, Entry]:
        """Entries without a complaint."""
        return {name: entry for name, entry in self.entries.items() if not entry.complaint}

    @cached_property
    def gaps(self) -> dict[str, Gap]:
        """Paired difference of each searcher to the best."""
        losses = {name: entry.losses for name, entry in self.sound.items()}
        return gaps(losses) if losses else {}

    @cached_property
    def ranks(self) -> dict[str, float]:
        """Rank of each searcher by its mean loss."""
        return ranks({name: fmean(entry.losses) for name, entry in self.sound.items()})

    def regret(self, loss: float) -> float:
        """Return where a loss lies between the best recorded plan and the uniform one."""
        return (loss - self.least) / max(self.uniform - self.least, 1e-9)

    def regrets(self, name: str) -> list[tuple[int, float]]:
        """Return where the mean regret of a searcher falls, and to what, over all seeds."""
        curves = self.entries[name].curves
        places = sorted({at for curve in curves for at, _ in curve})
        return [(at, fmean(self.regret(_at(curve, at)) for curve in curves)) for at in places]

    def reached(self, name: str) -> float | None:
        """Return the median number of evaluations to a regret of ``REACHED``; None for never."""
        found = [
            next((at for at, loss in curve if self.regret(loss) <= REACHED), inf)
            for curve in self.entries[name].curves
        ]
        middle = median(found)
        return middle if isfinite(middle) else None


@dataclass(frozen=True)
class Scoreboard:
    """A task: its name, and its budgets."""

    name: str
    standings: tuple[Standing, ...]


@dataclass(frozen=True)
class SuiteResult:
    """Result of a suite. ``skipped``: tables that could not be used, and why.

    ``seconds``: processor time of each searcher per search, the one thing that does not repeat.
    """

    tasks: tuple[Scoreboard, ...]
    versions: Mapping[str, str]
    evaluations: int
    seeds: int
    skipped: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Searchers, in the order asked for."""
        return list(
            dict.fromkeys(n for task in self.tasks for one in task.standings for n in one.entries)
        )

    @property
    def ok(self) -> bool:
        """Whether nothing was skipped and nobody failed."""
        standings = [one for task in self.tasks for one in task.standings]
        return not self.skipped and all(len(one.sound) == len(one.entries) for one in standings)

    def leaderboard(self) -> list[dict[str, Any]]:
        """Return a row for each searcher, the best mean rank first.

        Ranks and regrets are means over all budgets of all tasks; ``told_apart``: at how many of
        them the best is told apart from it. Who failed anywhere has no mean.
        """
        standings = [one for task in self.tasks for one in task.standings]
        rows: list[dict[str, Any]] = []
        for name in self.names:
            taken = [one for one in standings if name in one.sound]
            whole = len(taken) == len(standings)
            regrets = [fmean(map(one.regret, one.entries[name].losses)) for one in taken]
            sources = Counter[str]()
            for one in taken:
                sources.update(one.entries[name].answered)
            rows.append(
                {
                    "searcher": name,
                    "rank": round(fmean(one.ranks[name] for one in taken), 3) if whole else None,
                    "regret": round(fmean(regrets), 4) if whole else None,
                    "best": sum(one.gaps[name].mean == 0 for one in taken),
                    "told_apart": sum(one.gaps[name].apart for one in taken),
                    "standings": len(taken),
                    "answered": _answered(sources),
                }
            )
        return sorted(rows, key=lambda row: (row["rank"] is None, row["rank"], row["searcher"]))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object, format 1; the same suite gives the same."""
        return {
            "format": FORMAT,
            "evaluations": self.evaluations,
            "seeds": self.seeds,
            "tasks": [
                {
                    "name": task.name,
                    "budgets": [
                        {
                            "budget": one.budget,
                            "least": one.least,
                            "uniform": one.uniform,
                            "quality": None if one.quality is None else dict(one.quality),
                            "searchers": {n: e.to_json() for n, e in one.entries.items()},
                        }
                        for one in task.standings
                    ],
                }
                for task in self.tasks
            ],
            "ok": self.ok,
            "leaderboard": self.leaderboard(),
            "skipped": dict(self.skipped),
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, data: Any, seconds: Mapping[str, float]) -> Self:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        try:
            if data["format"] != FORMAT:
                raise DamagedError("not a suite this version knows", "run it again with --fresh")
            tasks = tuple(
                Scoreboard(
                    task["name"],
                    tuple(
                        Standing(
                            one["budget"],
                            one["least"],
                            one["uniform"],
                            {n: Entry.from_json(e) for n, e in one["searchers"].items()},
                            one["quality"],
                        )
                        for one in task["budgets"]
                    ),
                )
                for task in data["tasks"]
            )
            return cls(
                tasks,
                data["versions"],
                data["evaluations"],
                data["seeds"],
                data["skipped"],
                dict(seconds),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"the result of the suite is damaged: {error}", "--fresh") from None


def falls(losses: Sequence[float]) -> Curve:
    """Return the evaluations, from 1, that lowered the least loss, and to what."""
    best = list(accumulate(losses, min))
    changed = [at for at in range(len(best)) if at == 0 or best[at] < best[at - 1]]
    return tuple((at + 1, best[at]) for at in changed)


def _at(curve: Curve, number: int) -> float:
    """Return the least loss after so many evaluations, or after the first."""
    return [loss for at, loss in curve if at <= max(number, curve[0][0])][-1]


def _answered(sources: Mapping[str, int]) -> dict[str, int]:
    """Count evaluations by source; nothing is evaluated anew, which the format foresees."""
    return {name: sources.get(name, 0) for name in ("table", "evaluated", "surrogate")}
