"""What every searcher is, and the randomness it may use."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch

from autoprune.agents.policy import Policy
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

REPEATS: Final = 30
"""Proposals in a row that were all evaluated before, after which a search has seen enough."""

BATCH: Final = 4
"""Plans that are proposed at a time: a number of its own, so that no result depends on how many
worker processes share the work."""

Metrics = Mapping[str, float]
OnStep = Callable[[Metrics], None]
"""Called after each episode with what a learner has to say: losses, sigma, rewards."""


class Searcher(Protocol):
    """Turns a problem and a number of evaluations into a plan: the best the ledger has seen.

    ``search`` spends evaluations through the ledger until none is left or nothing new turns up. The
    same problem, ledger limit and seed give the same history on the same machine. It leaves the
    global random states as it found them.
    """

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Search; what was found is in the ledger."""


def propose(ledger: Ledger, draw: Callable[[], Plan], number: int = BATCH) -> list[Plan]:
    """Draw up to ``number`` new plans, as many as may still be evaluated.

    Fewer, perhaps none, if REPEATS draws in a row bring nothing new.
    """
    found: dict[Plan, None] = {}
    repeats = 0
    while len(found) < min(number, ledger.left) and repeats < REPEATS:
        plan = draw()
        repeats = repeats + 1 if plan in ledger or plan in found else 0
        if not repeats:
            found[plan] = None
    return list(found)


def plans_by_loss(ledger: Ledger) -> list[Plan]:
    """Return the plans evaluated so far, from the lowest loss to the highest.

    On a few thousand samples, the loss says more of the accuracy on others than the accuracy does:
    it counts how clear every decision is, not only which side it fell on (docs/agent.md).
    """
    records = sorted(ledger.history, key=lambda record: record.evaluation.loss)
    return [record.plan for record in records]


def silent(metrics: Metrics) -> None:
    """Ignore the metrics: what a searcher does when nobody listens."""


@runtime_checkable
class Learner(Searcher, Protocol):
    """A searcher that trains a policy; ``policy`` is None before the search."""

    policy: Policy | None


@contextmanager
def isolated(seed: int) -> Iterator[np.random.Generator]:
    """Seed the global random states of python, numpy and torch, and restore them at the end.

    stable-baselines3 draws from all three. Yields a generator for what needs none of them.
    """
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield np.random.default_rng(seed)
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
