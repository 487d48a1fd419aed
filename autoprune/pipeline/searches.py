"""Searches at several budgets of one network: one ranking, and each learns from those before it.

The first search has all evaluations that were asked for; the others share as many once more. They
begin with plans that the searches before them suggest (:mod:`autoprune.agents.transfer`), but for
searchers that others are held against. Each has a run of its own inside the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from typing import Generic, NamedTuple

from torch import nn

from autoprune.agents.registry import is_control
from autoprune.agents.transfer import Explored, transferred
from autoprune.cost.budget import Budget
from autoprune.foundation.config import slug
from autoprune.foundation.progress import Progress
from autoprune.networks.score import Score, measure
from autoprune.pipeline.delivery import Delivery, Find, Searched, deliver
from autoprune.pipeline.execute import opened
from autoprune.pipeline.explore import recall
from autoprune.pipeline.own import Own
from autoprune.pipeline.session import Session
from autoprune.pipeline.setup import Setup, bind_budget
from autoprune.pipeline.tuning import FinalistsConfig, Tuning
from autoprune.problem.problem import PruningProblem
from autoprune.runs.run import Run


class Site(NamedTuple, Generic[Searched]):
    """Open run of a budget, and what a session in it takes."""

    run: Run
    setup: Setup
    config: Searched
    progress: Progress
    tuning: Tuning
    own: Own


@dataclass
class Searches(Generic[Searched]):
    """Searches of a ``session`` whose ``problem`` is posed for no budget yet.

    ``number``: how many there will be, about; the effort of all but the first is divided by it.
    """

    find: Find[Searched]
    session: Session[Searched]
    model: nn.Module
    problem: PruningProblem
    number: int
    explored: list[Explored] = field(default_factory=list)

    @contextmanager
    def opened(self, text: str) -> Iterator[Site[Searched]]:
        """Open the run of the next budget; what was searched there is known afterwards."""
        setup, session = at_budget(self.session.setup, self.session.config, text), self.session
        config = self._config(text)
        count = self._share(session.tuning.finalists.count)
        tuning = replace(session.tuning, finalists=FinalistsConfig(count))
        with opened(setup, config) as run:
            yield Site(run, setup, config, session.progress, tuning, session.own)
            records = (record for record in run.journal.records if "evaluation" in record)
            self.explored.append(Explored(setup.budget, tuple(map(recall, records))))

    @cached_property
    def dense_score(self) -> Score:
        """Score of the dense network on the test split, which is the same at every budget."""
        inputs = self.session.inputs
        return measure(self.model, inputs.test, inputs.task)

    def deliver(self, inner: Session[Searched]) -> Delivery:
        """Search at the budget of an open run, and make the network."""
        problem = replace(self.problem, budget=inner.budget)
        if self.explored and not is_control(inner.config.agent):
            first = transferred(problem, self.explored, inner.seeds.searcher)
            problem = replace(problem, first=first)
        return deliver(self.find, inner, self.model, problem)

    def _config(self, text: str) -> Searched:
        config = self.session.config
        return replace(
            config,
            budget=text,
            budgets=None,
            max_drop=None,
            minimize=None,
            evaluations=self._share(int(min(config.evaluations, self._spent))),
            baseline=False,
            beside=None if self.explored else config.beside,
            run=str(config.directory / slug(text)),
            fresh=False,
        )

    @property
    def _spent(self) -> float:
        """Evaluations of the first search, which may run out of plans before it has had all."""
        return len(self.explored[0].trials) if self.explored else inf

    def _share(self, amount: int) -> int:
        """Return the part of an effort that the next search has."""
        if not self.explored or not amount:
            return amount
        return max(1, amount // max(1, self.number - 1))


def at_budget(setup: Setup, config: Searched, text: str) -> Setup:
    """Bind another budget to a network.

    Raises InfeasibleError for one out of reach.
    """
    cost, device = setup.units.cost, setup.inputs.device
    return replace(setup, budget=bind_budget(Budget.parse(text), config, cost, device))
