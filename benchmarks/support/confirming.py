"""Chosen plans of a suite's run, evaluated for real beside the surrogate's answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoprune.commands.suite.recording import Recorder
from autoprune.commands.suite.surrogate import spearman
from autoprune.commands.suite.table import SuiteTask
from autoprune.foundation.files import read_json
from autoprune.structure.plan import Plan


@dataclass(frozen=True)
class Confirmed:
    """Answers to plans that searchers chose, against the truth, as logarithms of the loss.

    Searchers look for what the surrogate likes, so its error is larger there than on plans drawn
    without it: ``bias`` above 0 says that it promised too much.
    """

    plans: int
    bias: float
    rmse: float
    spearman: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def confirm(run: Path, tasks: tuple[SuiteTask, ...], recorder: Recorder) -> Confirmed | None:
    """Evaluate the chosen plans of a run that were guessed; None if there are none.

    They are in the journal from then on, and so in the next table.
    """
    names = {task.name for task in tasks}
    answered: dict[Plan, float] = {}
    for task in read_json(run / "result.json")["tasks"]:
        if task["name"] in names:
            for budget in task["budgets"]:
                for entry in budget["searchers"].values():
                    chosen = zip(entry.get("plans", ()), entry.get("loss", ()), strict=True)
                    for counts, loss in chosen:
                        answered[recorder.problem.cost.plan(counts)] = loss
    guessed = {plan: loss for plan, loss in answered.items() if plan not in recorder.known}
    if not guessed:
        return None
    true = np.log([recorder(plan).loss for plan in guessed])
    said = np.log(list(guessed.values()))
    return Confirmed(
        len(true),
        float(np.mean(true - said)),
        float(np.sqrt(np.mean((true - said) ** 2))),
        spearman(said, true),
    )
