"""``autoprune prune``: prune by a rule of thumb, at once or in rounds of pruning and fine-tuning.

Each round starts from the network that the round before left, ranks what is left of it, and prunes
the same fraction of it: toward a limit of f in N rounds, to f^(1/N), f^(2/N), ... of the dense
cost (Han et al. 2015, arXiv:1506.02626, section 3.4; Zhu and Gupta 2017, arXiv:1710.01878, call it
gradual pruning). What is gone stays gone. Nothing is searched.

A gradual schedule is one fine-tuning, in the first half of which all rounds happen.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from autoprune.commands.prune.config import PruneConfig
from autoprune.commands.prune.plan_file import layers_of, read_plan
from autoprune.foundation.progress import Progress
from autoprune.networks.score import measure
from autoprune.pipeline.assemble import assemble
from autoprune.pipeline.ceiling import Candidate, held
from autoprune.pipeline.execute import check_words, execute_in_run
from autoprune.pipeline.finalists import narrow_builder, shrink
from autoprune.pipeline.inputs import from_config
from autoprune.pipeline.match import match
from autoprune.pipeline.publish import measure_all, measure_speeds, publish
from autoprune.pipeline.result import Result, Round
from autoprune.pipeline.session import PruningSession, Session
from autoprune.pipeline.stages import finetune, rank_units, train
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.granularity.masking import Masks
from autoprune.problem.granularity.parse import CHANNEL
from autoprune.problem.heuristics import check_heuristic, heuristic_plan
from autoprune.ranking.ordering import Ranking
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer


def run_prune(config: PruneConfig, progress: Progress, tuning: Tuning | None = None) -> Result:
    """Carry out ``autoprune prune``; raises AutopruneError for whatever a user can mend."""
    if config.plan is not None:  # stored by content: the run must not change with the file
        config = replace(config, plan=read_plan(config.plan))
    budget = check_words(config)
    check_heuristic(config.heuristic, masked=config.granularity != CHANNEL)
    return execute_in_run(from_config(config), config, budget, progress, _prune, tuning)


def _prune(session: Session[PruneConfig]) -> Result:
    by_hand = _plan_by_hand(session)  # before any training: it may not fit
    config, dense = session.config, train(session)
    model, plan, masks = dense, Plan.dense(session.units.decisions), Masks()
    rounds: list[Round] = []
    total = config.steps or 1
    for number in range(1, total + 1):
        budget = session.budget.partial(number / total, plan)
        ranking = rank_units(session, model, masks)
        plan = by_hand or heuristic_plan(config.heuristic, budget, ranking)
        pruned = shrink(session, model, plan, ranking)
        if number == total:
            make = None if by_hand else narrow_builder(session, model, ranking)
            delivered = held(session, dense, [Candidate(plan, pruned)], make)
            plan, pruned = delivered.plan, delivered.network
        masks = session.units.masks(ranking, plan)
        part = (number, total) if config.schedule == "gradual" else None
        matched = None
        if part is None or number == total:
            matched = match(session, pruned, dense, plan, ranking, masks, f"match-{number}")
        repaired = pruned if matched is None else matched
        finetuned = finetune(session, repaired, dense, f"finetune-{number}", masks, part)
        rounds.append(_round(session, plan, pruned, finetuned))
        _note(session, number, rounds[-1])
        if number < total:
            model = _restored(session, dense, finetuned, plan, ranking)
    publish(session, finetuned, plan, ranking, dense)
    networks: dict[str, tuple[nn.Module, Plan | None]] = {
        "dense": (dense, None),
        "pruned": (pruned, plan),
        "finetuned": (finetuned, plan),
    }
    if matched is not None:
        networks["matched"] = matched, plan
    measures = measure_all(session, networks)
    result = assemble(
        session,
        plan,
        measures,
        measure_speeds(session, dense, finetuned),
        agent="plan by hand" if by_hand else config.heuristic,
        score=rounds[-1].finetuned,
        evaluations=total,
    )
    return replace(result, rounds=tuple(rounds), model=finetuned)


def _plan_by_hand(session: Session[PruneConfig]) -> Plan | None:
    """Return the user's plan, None for that of a rule; InfeasibleError if it costs too much."""
    if session.config.plan is None:
        return None
    plan = Plan.of_layers(session.units.decisions, layers_of(session.config.plan))
    session.budget.check(plan)
    return plan


def _round(
    session: Session[PruneConfig], plan: Plan, pruned: nn.Module, finetuned: nn.Module
) -> Round:
    """Score a round on the search split: nothing was chosen by it."""
    cost, search, task = session.cost, session.inputs.search, session.inputs.task
    before, after = (measure(net, search, task).score for net in (pruned, finetuned))
    return Round(plan, cost.macs(plan), cost.parameters(plan), before, after)


def _note(session: PruningSession, number: int, found: Round) -> None:
    """Journal a round, unless an earlier run of the same command did, and draw it."""
    journal = session.run.journal
    if len(journal.records) < number:
        journal.append(
            {
                "round": number,
                "plan": found.plan.to_json(),
                "pruned": found.pruned,
                "recovered": found.finetuned,
            }
        )
    session.curves.round(number, found)


def _restored(
    session: Session[PruneConfig],
    dense: nn.Module,
    finetuned: nn.Module,
    plan: Plan,
    ranking: Ranking,
) -> nn.Module:
    """Return the fine-tuned network in the dense shapes, zero where units are gone."""
    return Slicer(dense, session.structure).expand(finetuned, ranking.kept(plan))
