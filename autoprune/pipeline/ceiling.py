"""Ceilings on latency: the delivered network is measured, and made narrower until it holds.

A plan is chosen by its predicted latency. Before it is delivered, the network is timed beside the
dense one, in turns. If it is over the budget, the whole interval of its median counted, the next
best finalist that holds is taken; or the best one, narrowed: its predicted latency is lowered by
the factor by which the measured one is too high, until what is measured holds. Of the two, the
lower loss decides. Times are kept in the run: continued, it decides the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from torch import nn

from autoprune.cost.bisection import largest_that
from autoprune.cost.bound_budget import BoundBudget
from autoprune.errors import InfeasibleError
from autoprune.pipeline.gauge import Gauge
from autoprune.pipeline.session import PruningSession
from autoprune.pipeline.timing import Timing
from autoprune.structure.plan import Plan

TRIES: Final = 8
"""Largest number of narrower networks that are built and measured."""

LEAST_STEP: Final = 0.005
"""Least part of its predicted latency that a network loses at a time."""


@dataclass(frozen=True)
class Candidate:
    """Network that may be delivered, with its plan, and its score and loss on held-out samples."""

    plan: Plan
    network: nn.Module
    score: float | None = None
    loss: float = 0.0


Make = Callable[[Plan], Candidate]


def held(
    session: PruningSession,
    dense: nn.Module,
    candidates: Sequence[Candidate],
    make: Make | None,
) -> Candidate:
    """Return the best of the candidates, best first, that holds the limit on latency as measured.

    The first, if there is no such limit. ``make`` builds the candidate of a narrower plan; None if
    the plan must stay as it is. Raises InfeasibleError, saying by how much, if nothing holds.
    """
    best = candidates[0]
    if session.latency is None:
        return best
    gauge = Gauge(session, dense)
    with session.progress.phase("hold", 1) as phase:
        times = gauge.measure([(each.plan, each.network) for each in candidates])
        within = [
            each for each, time in zip(candidates, times, strict=True) if gauge.excess(time) <= 0
        ]
        if best not in within and make is not None:
            tried = _narrowed(session.budget, gauge, best, make)
            times += [time for _, time in tried]
            within += [each for each, time in tried if gauge.excess(time) <= 0]
        phase.advance()
    if not within:
        raise _missed(gauge, times)
    chosen = min(within, key=lambda each: each.loss)
    if chosen is not best:
        session.run.warnings.append(
            f"{gauge.limit}: the best plan was measured {100 * gauge.excess(times[0]):.1f} % over"
            " it, at the far end of the interval; one that holds is delivered in its place"
        )
    return chosen


def _narrowed(
    budget: BoundBudget, gauge: Gauge, best: Candidate, make: Make
) -> list[tuple[Candidate, Timing]]:
    """Build narrower and narrower networks until one holds; return all of them."""
    tried: list[tuple[Candidate, Timing]] = []
    plan, time = best.plan, gauge.known(best.plan)
    while gauge.excess(time) > 0 and len(tried) < TRIES:
        factor = min(1 / (1 + gauge.excess(time)), 1 - LEAST_STEP)
        smaller = narrower(budget, plan, factor)
        if smaller is None:
            break
        candidate = make(smaller)
        (time,) = gauge.measure([(smaller, candidate.network)])
        plan = smaller
        tried.append((candidate, time))
    return tried


def narrower(budget: BoundBudget, plan: Plan, factor: float) -> Plan | None:
    """Return a plan within another that is predicted to take at most ``factor`` of its time.

    It keeps the same, largest fraction of all the other keeps, topped up; where the budget allows
    nothing so fast, it is the smallest plan there is, and None for that one itself.
    """
    tighter = tuple(
        replace(one, bound=int(one.cost(plan) * factor)) if one.limit.cost == "latency" else one
        for one in budget.constraints
    )
    most = budget.cost.counts(plan)
    inner = replace(budget, constraints=tighter, ceiling=tuple(map(int, most)))
    if not inner.fits(inner.smallest):
        least = budget.cost.plan(inner.smallest)
        return least if dict(least) != dict(plan) else None
    inner = inner.undivided

    def at(fraction: float) -> Plan:
        """Return the plan that keeps about a fraction of every group."""
        return budget.cost.plan(inner.nearest(fraction * most))

    return inner.top_up(at(largest_that(lambda fraction: inner.met(at(fraction)))))


def _missed(gauge: Gauge, times: Sequence[Timing]) -> InfeasibleError:
    nearest = min(times, key=gauge.excess)
    high, over = nearest.fraction.high, 100 * gauge.excess(nearest)
    return InfeasibleError(
        f"{gauge.limit} cannot be held: the fastest network of {len(times)} was measured at"
        f" {nearest.fraction.median:.4g} of dense, at most {high:.4g}, {over:.1f} % over",
        "ask for more, or measure again with --fresh on a machine that does less beside",
    )
