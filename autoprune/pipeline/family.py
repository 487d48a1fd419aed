"""A family: a network for each of several budgets, from one ranking and searches that share.

The budget in the middle is searched first, with all evaluations; then those beside it, outwards.
Each result lies in a run of its own inside the run, which every command takes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log
from pathlib import Path
from typing import Any

from autoprune.agents.transfer import level
from autoprune.cost.budget import Budget
from autoprune.cost.limits import Limit
from autoprune.cost.registry import COSTS
from autoprune.foundation.progress import Progress
from autoprune.foundation.schema import Stored
from autoprune.networks.threads import threads
from autoprune.pipeline.delivery import Find, Searched, conclude
from autoprune.pipeline.execute import announced, completed, finished, opened, session_in
from autoprune.pipeline.inputs import Inputs
from autoprune.pipeline.own import NOTHING, Own
from autoprune.pipeline.result import Result
from autoprune.pipeline.searches import Searches, at_budget
from autoprune.pipeline.setup import thread_count
from autoprune.pipeline.stages import pose, train
from autoprune.pipeline.tuning import Tuning
from autoprune.runs.run import RESULT
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done

MEASURES = {"parameters": "parameters", "bytes": "bytes", "latency": "latency_ms"}
"""What of a measure belongs to a limited cost; MACs to all others."""


@dataclass(frozen=True)
class Family(Stored):
    """Networks of one search at several budgets, the largest first.

    ``first``: the budget that had all evaluations. ``shared_seconds``: time for what is done once:
    analysis, training, ranking. ``cost``: the measure by which one network is larger than another.
    """

    results: tuple[Result, ...]
    first: str
    shared_seconds: float
    cost: str
    run: Path

    @property
    def evaluations(self) -> int:
        """Evaluations of all searches."""
        return sum(one.evaluations for one in self.results)

    @property
    def alone(self) -> Result:
        """Result of the budget that was searched as if it were alone."""
        return next(one for one in self.results if one.budget == self.first)

    @property
    def times(self) -> tuple[float, float]:
        """Seconds for all budgets, and for the one that was searched alone."""
        alone = self.shared_seconds + self.alone.seconds
        return self.shared_seconds + sum(one.seconds for one in self.results), alone

    @property
    def front(self) -> tuple[Result, ...]:
        """Results that no other one beats: none is as good and smaller, or better and as small."""
        points = {id(one): (one.finetuned.score, -self.size(one)) for one in self.results}

        def beaten(one: Result) -> bool:
            score, size = mine = points[id(one)]
            return any(
                other[0] >= score and other[1] >= size and other != mine
                for other in points.values()
            )

        return tuple(one for one in self.results if not beaten(one))

    def size(self, result: Result) -> float:
        """Return what a network costs, in the measure ``cost``."""
        return float(getattr(result.finetuned, self.cost) or 0)


def read_pruned(data: Mapping[str, Any]) -> Result | Family:
    """Read ``result.json`` of a search or of a family."""
    return Family.from_json(data) if "results" in data else Result.from_json(data)


def execute_family(
    inputs: Inputs,
    config: Searched,
    progress: Progress,
    find: Find[Searched],
    tuning: Tuning | None = None,
    own: Own = NOTHING,
) -> Family:
    """Prune to each budget of a configuration in a run directory; a killed run is continued.

    Raises InfeasibleError, before anything is computed, for a budget out of reach.
    """
    began = time.monotonic()
    limits = Budget.parse(config.ceiling)
    setup = announced(inputs, config, _whole(limits), progress)
    bound = {text: level(at_budget(setup, config, text).budget) for text in config.each_budget}
    number = thread_count(config, setup.units.structure)
    with threads(number), opened(setup, config) as run:
        if done(run, progress):
            return Family.from_json(run.artifacts.json(RESULT))
        with session_in(run, setup, config, progress, tuning or Tuning(), own) as session:
            model = train(session)
            searches = Searches(find, session, model, pose(session, model), len(bound))
            shared, order = time.monotonic() - began, _order(bound)
            results = [_one(searches, text) for text in order]
        results.sort(key=lambda one: -bound[one.budget])
        costs = sorted(limits.costs)
        measure = MEASURES.get(costs[0], "macs") if len(costs) == 1 else "macs"
        family = Family(tuple(results), order[0], round(shared, 2), measure, run.path)
        run.publish_json(RESULT, family.to_json())
        discard(run.artifacts)
        return family


def _one(searches: Searches[Searched], text: str) -> Result:
    """Search at one budget, or return what was found there before."""
    began = time.monotonic()
    with searches.opened(text) as site:
        if done(site.run, site.progress):
            return finished(site.run, site.setup.inputs)
        with session_in(*site) as inner:
            made = searches.deliver(inner)
            first = not searches.explored
            result = conclude(inner, searches.model, made, searches.dense_score, timed=first)
            return completed(inner, result, began)


def _whole(budget: Budget) -> Budget:
    """Return a budget that leaves all of the costs that another one limits."""
    units = [COSTS[cost].units[0].name for cost in sorted(budget.costs)]
    return Budget(tuple(Limit(Fraction(1), unit, relative=True) for unit in units))


def _order(levels: Mapping[str, float]) -> Sequence[str]:
    """Order budgets: the middle one first, then outwards."""
    middle = sorted(levels, key=lambda text: levels[text])[len(levels) // 2]
    return sorted(levels, key=lambda text: abs(log(levels[text] / levels[middle])))
