"""Protocols of searchers, and helpers they share: proposing plans, isolating random states."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch

from autoprune.agents.policy import Policy
from autoprune.errors import UsageError
from autoprune.foundation.seeds import Seeds
from autoprune.foundation.user_code import blamed
from autoprune.problem.ledger import Ledger, OutOfEvaluations
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

REPEATS: Final = 30
"""Consecutive proposals that were all evaluated before, after which a search ends."""

Metrics = Mapping[str, float]
OnStep = Callable[[Metrics], None]
"""Called after each episode with a learner's metrics: losses, sigma, rewards."""


class Searcher(Protocol):
    """Search strategy: turns a problem and a number of evaluations into a plan, the ledger's best.

    ``search`` spends evaluations through the ledger until none is left or no new plan is proposed.
    The same problem, ledger limit and seed give the same history on the same machine. The global
    random states are left unchanged.
    """

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Search; the evaluations are in the ledger."""


def let_search(agent: Searcher, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
    """Let a searcher spend the evaluations of a ledger; it may end by OutOfEvaluations.

    Raises UserCodeError, naming it, for whatever a searcher that is not ours raises.
    """
    ours = type(agent).__module__.startswith("autoprune.")
    blame = nullcontext() if ours else blamed(f"searcher {type(agent).__name__} fails")
    with blame, suppress(OutOfEvaluations):
        agent.search(problem, ledger, seed)
    if not ledger.history:
        raise UsageError(
            f"searcher {type(agent).__name__} evaluated no plan",
            "it calls ledger.evaluate(plan) while ledger.left",
        )


def propose(ledger: Ledger, draw: Callable[[], Plan], number: int | None = None) -> list[Plan]:
    """Draw up to ``number`` new plans (the ledger's round), at most as many as may be evaluated.

    Fewer, perhaps none, if REPEATS consecutive draws give no new plan.
    """
    new: dict[Plan, None] = {}
    repeats = 0
    number = min(number or ledger.round_size, ledger.left)
    while len(new) < number and repeats < REPEATS:
        plan = draw()
        repeats = repeats + 1 if plan in ledger or plan in new else 0
        if not repeats:
            new[plan] = None
    return list(new)


def plans_by_loss(ledger: Ledger) -> list[Plan]:
    """Return the plans evaluated so far, in order of increasing loss.

    On a few thousand samples, the loss predicts the accuracy on other samples better than the
    accuracy does, since it also measures the margin of every decision (docs/agent.md).
    """
    records = sorted(ledger.history, key=lambda record: record.evaluation.loss)
    return [record.plan for record in records]


def silent(metrics: Metrics) -> None:
    """Ignore the metrics: the default ``on_step``."""


@runtime_checkable
class Learner(Searcher, Protocol):
    """Searcher that trains a policy; ``policy`` is None before the search."""

    policy: Policy | None


@contextmanager
def isolated(seed: int) -> Iterator[np.random.Generator]:
    """Seed the global random states of python, numpy and torch, and restore them at the end.

    stable-baselines3 draws from all three. Yields a generator for everything else.
    """
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        random.seed(seed)
        np.random.seed(Seeds(seed).narrow)
        torch.manual_seed(seed)
        try:
            yield np.random.default_rng(seed)
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
