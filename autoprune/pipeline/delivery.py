"""Delivery of a plan: its network is built, matched and fine-tuned; then measured and published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import nn

from autoprune.networks.score import Score
from autoprune.pipeline.assemble import assemble
from autoprune.pipeline.ceiling import Candidate, held
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.evidence import with_evidence
from autoprune.pipeline.explore import SearchOutcome
from autoprune.pipeline.finalists import narrow_builder, shrink
from autoprune.pipeline.match import match
from autoprune.pipeline.publish import measure_all, measure_speeds, publish
from autoprune.pipeline.result import Baseline, Result
from autoprune.pipeline.session import Session
from autoprune.pipeline.stages import finetune, pose, train
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

Searched = TypeVar("Searched", bound=SearchConfig)

Find = Callable[[Session[Searched], nn.Module, PruningProblem], SearchOutcome]
"""From the trained network and its problem to the plan to prune by."""


@dataclass(frozen=True)
class Delivery:
    """Network of a plan that a search found: as repaired, matched, and fine-tuned.

    ``matched``: None where no matching was asked for. ``score``: on the search split, if known.
    """

    plan: Plan
    problem: PruningProblem
    pruned: nn.Module
    matched: nn.Module | None
    finetuned: nn.Module
    score: float | None
    evaluations: int


def prune_by(find: Find[Searched], session: Session[Searched]) -> Result:
    """Find a plan with ``find``, prune, fine-tune and measure."""
    model = train(session)
    return conclude(session, model, deliver(find, session, model, pose(session, model)))


def deliver(
    find: Find[Searched], session: Session[Searched], model: nn.Module, problem: PruningProblem
) -> Delivery:
    """Find a plan and make its network; the test split is not read."""
    best = find(session, model, problem)
    pruned, ranking = best.network, problem.ranking
    if pruned is None:
        made = Candidate(best.plan, shrink(session, model, best.plan, ranking))
        made = held(session, model, [made], narrow_builder(session, model, ranking))
        best, pruned = replace(best, plan=made.plan), made.network
    masks = session.units.masks(ranking, best.plan)
    matched = match(session, pruned, model, best.plan, ranking, masks)
    finetuned = finetune(session, pruned if matched is None else matched, model, masks=masks)
    return Delivery(best.plan, problem, pruned, matched, finetuned, best.score, best.evaluations)


def conclude(
    session: Session[Searched],
    model: nn.Module,
    made: Delivery,
    dense: Score | None = None,
    *,
    timed: bool = True,
) -> Result:
    """Publish a network and measure it on the test split, beside what was asked for.

    ``dense``: the score of the dense network there, if it is known. ``timed``: on every backend.
    """
    config = session.config
    publish(session, made.finetuned, made.plan, made.problem.ranking, model)
    networks: dict[str, tuple[nn.Module, Plan | None]] = {
        "dense": (model, None),
        "pruned": (made.pruned, made.plan),
        "finetuned": (made.finetuned, made.plan),
    }
    if made.matched is not None:
        networks["matched"] = made.matched, made.plan
    if config.baseline:
        networks |= _baseline(session, model)
    if config.beside and config.finetune_epochs:
        networks["dense finetuned"] = finetune(session, model, model, "finetune-dense"), None
    measures = measure_all(session, networks, dense)
    result = assemble(
        session,
        made.plan,
        measures,
        measure_speeds(session, model, made.finetuned) if timed else (),
        agent=config.agent,
        score=made.score,
        evaluations=made.evaluations,
    )
    result = with_evidence(result, session, made.problem, model)
    if config.baseline:
        baseline = Baseline("uniform + l1", measures["plain"], measures["plain finetuned"])
        result = replace(result, baseline=baseline)
    return replace(result, dense_finetuned=measures.get("dense finetuned"), model=made.finetuned)


def _baseline(session: Session[Searched], model: nn.Module) -> dict[str, tuple[nn.Module, Plan]]:
    """Build the uniform plan by l1 at the same budget, with the same fine-tuning."""
    uniform, ranking = session.budget.uniform(), session.units.rank(model, "l1")
    plain = shrink(session, model, uniform, ranking)
    masks = session.units.masks(ranking, uniform)
    finetuned = finetune(session, plain, model, "finetune-plain", masks)
    return {"plain": (plain, uniform), "plain finetuned": (finetuned, uniform)}
