"""Execution of a command in a run directory, and the stages after a plan is chosen."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from torch import nn

from autoprune.cost.budget import Budget
from autoprune.cost.energy import EnergyTable
from autoprune.cost.latency.backends import check_backend
from autoprune.data import SPLITS, describe
from autoprune.envs.rewards import LOSS
from autoprune.foundation.files import text_writer
from autoprune.foundation.page import REPORT
from autoprune.foundation.progress import Progress
from autoprune.networks.save import load
from autoprune.networks.threads import threads
from autoprune.pipeline.assemble import assemble
from autoprune.pipeline.ceiling import Candidate, held
from autoprune.pipeline.config import PruningConfig, SearchConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.evidence import with_evidence
from autoprune.pipeline.explore import SearchOutcome
from autoprune.pipeline.finalists import narrow_builder, shrink
from autoprune.pipeline.inputs import Inputs, weights_hash
from autoprune.pipeline.match import match
from autoprune.pipeline.own import NOTHING, Own
from autoprune.pipeline.page import Facts, result_page
from autoprune.pipeline.publish import measure_all, measure_speeds, publish
from autoprune.pipeline.result import Baseline, Result
from autoprune.pipeline.session import Session
from autoprune.pipeline.setup import LATENCY, set_up, thread_count
from autoprune.pipeline.stages import finetune, pose, train
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.granularity.checks import check_limits, check_ranking
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.problem import PruningProblem
from autoprune.runs.run import RESULT, Run
from autoprune.structure.plan import Plan
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done

Asked = TypeVar("Asked", bound=PruningConfig)
Searched = TypeVar("Searched", bound=SearchConfig)

Find = Callable[[Session[Searched], nn.Module, PruningProblem], SearchOutcome]
"""From the trained network and its problem to the plan to prune by."""


def check_words(config: PruningConfig) -> Budget:
    """Parse the budget and check the words that need neither network nor data.

    Nothing is loaded yet. Raises UsageError.
    """
    granularity, budget = Granularity.parse(config.granularity), Budget.parse(config.budget)
    check_limits(granularity, budget)
    check_ranking(granularity, config.ranking)
    check_backend(config.backend)
    return budget


def execute_in_run(
    inputs: Inputs,
    config: Asked,
    budget: Budget,
    progress: Progress,
    work: Callable[[Session[Asked]], Result],
    tuning: Tuning | None = None,
    own: Own = NOTHING,
) -> Result:
    """Run ``work`` in a run directory: a finished run is shown again, any other continued."""
    began = time.monotonic()
    if "energy" in budget.costs:
        progress.note("\n  ".join(("energy is a model:", *EnergyTable().lines())))
    setup = set_up(inputs, config, budget, progress)
    number = thread_count(config, setup.units.structure)
    with threads(number), Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(data=inputs.data.fingerprint, weights=weights_hash(inputs.model))
        if done(run, progress):
            return _finished(run, inputs)
        run.publish_json(SPLITS, describe(inputs.data))
        run.warnings.extend(inputs.data.remarks)
        if setup.latency is not None and LATENCY not in run.artifacts.names:
            run.publish_json(LATENCY, setup.latency.to_json())
        with run.events() as writer:
            reward = config.reward if isinstance(config, SearchConfig) else LOSS.name
            curves = Curves(writer, setup.units.cost, reward)
            session = Session(setup, config, run, curves, progress, tuning or Tuning(), own)
            result = work(session)
            curves.outcome(config, result)
            result = replace(result, seconds=round(time.monotonic() - began, 2))
            run.publish(REPORT, text_writer(result_page(result, Facts.of(session))))
            run.publish_json(RESULT, result.to_json())
            discard(run.artifacts)
            return result


def _finished(run: Run, inputs: Inputs) -> Result:
    result = Result.from_json(run.artifacts.json(RESULT))
    model = load(run.path, copy.deepcopy(inputs.model))
    return replace(result, model=model, run=run.path)


def prune_by(find: Find[Searched], session: Session[Searched]) -> Result:
    """Find a plan with ``find``, prune, fine-tune and measure."""
    config, units, model = session.config, session.units, train(session)
    problem = pose(session, model)
    best = find(session, model, problem)
    pruned = best.network
    if pruned is None:
        made = Candidate(best.plan, shrink(session, model, best.plan, problem.ranking))
        made = held(session, model, [made], narrow_builder(session, model, problem.ranking))
        best, pruned = replace(best, plan=made.plan), made.network
    masks = units.masks(problem.ranking, best.plan)
    matched = match(session, pruned, model, best.plan, problem.ranking, masks)
    finetuned = finetune(session, pruned if matched is None else matched, model, masks=masks)
    publish(session, finetuned, best.plan, problem.ranking, model)
    networks: dict[str, tuple[nn.Module, Plan | None]] = {
        "dense": (model, None),
        "pruned": (pruned, best.plan),
        "finetuned": (finetuned, best.plan),
    }
    if matched is not None:
        networks["matched"] = matched, best.plan
    if config.baseline:
        networks |= _baseline(session, model)
    if config.beside and config.finetune_epochs:
        networks["dense finetuned"] = finetune(session, model, model, "finetune-dense"), None
    measures = measure_all(session, networks)
    result = assemble(
        session,
        best.plan,
        measures,
        measure_speeds(session, model, finetuned),
        agent=config.agent,
        score=best.score,
        evaluations=best.evaluations,
    )
    result = with_evidence(result, session, problem, model)
    if config.baseline:
        baseline = Baseline("uniform + l1", measures["plain"], measures["plain finetuned"])
        result = replace(result, baseline=baseline)
    return replace(result, dense_finetuned=measures.get("dense finetuned"), model=finetuned)


def _baseline(session: Session[Searched], model: nn.Module) -> dict[str, tuple[nn.Module, Plan]]:
    """Build the uniform plan by l1 at the same budget, with the same fine-tuning."""
    uniform, ranking = session.budget.uniform(), session.units.rank(model, "l1")
    plain = shrink(session, model, uniform, ranking)
    masks = session.units.masks(ranking, uniform)
    finetuned = finetune(session, plain, model, "finetune-plain", masks)
    return {"plain": (plain, uniform), "plain finetuned": (finetuned, uniform)}
