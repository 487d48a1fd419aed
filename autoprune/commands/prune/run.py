"""``autoprune prune``: prune by a rule of thumb, at once or in rounds of pruning and fine-tuning.

Each round starts from the network that the round before left, ranks what is left of it, and prunes
the same fraction of it: toward a limit of f in N rounds, to f^(1/N), f^(2/N), ... of the dense
cost (Han et al. 2015, arXiv:1506.02626, section 3.4; Zhu and Gupta 2017, arXiv:1710.01878, call it
gradual pruning). What is gone stays gone. Nothing is searched.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import nn

from autoprune.commands.prune.config import PruneConfig
from autoprune.foundation.progress import Progress
from autoprune.networks.score import measure
from autoprune.pipeline import finalists as finals
from autoprune.pipeline import publish as delivery
from autoprune.pipeline import stages as phases
from autoprune.pipeline.inputs import from_config
from autoprune.pipeline.result import Result, Round
from autoprune.pipeline.search import check_words, conduct, result_of
from autoprune.pipeline.session import Session
from autoprune.problem.granularity import Masks
from autoprune.problem.granularity.words import CHANNEL
from autoprune.problem.heuristics import check_heuristic, heuristic_plan
from autoprune.ranking import Ranking
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer


def run_prune(config: PruneConfig, progress: Progress) -> Result:
    """Carry out ``autoprune prune``; raises AutopruneError for whatever a user can mend."""
    check_words(config)
    check_heuristic(config.heuristic, masked=config.granularity != CHANNEL)
    return conduct(from_config(config), config, progress, partial(_prune, config))


def _prune(config: PruneConfig, session: Session) -> Result:
    dense = phases.train(session)
    model, plan, masks = dense, Plan.dense(session.grain.units), Masks()
    rounds: list[Round] = []
    total = config.steps or 1
    for number in range(1, total + 1):
        budget = session.budget.partial(number / total, plan)
        ranking = phases.order(session, model, masks)
        plan = heuristic_plan(config.heuristic, budget, ranking)
        masks = session.grain.masks(ranking, plan)
        pruned = finals.shrink(session, model, plan, ranking)
        recovered = phases.recover(session, pruned, dense, f"finetune-{number}", masks)
        rounds.append(_round(session, plan, pruned, recovered))
        _note(session, number, rounds[-1])
        if number < total:
            model = _restored(session, dense, recovered, plan, ranking)
    delivery.publish(session, recovered, plan, ranking, dense)
    networks = {"base": (dense, None), "pruned": (pruned, plan), "recovered": (recovered, plan)}
    measures = delivery.measure_all(session, networks)
    result = result_of(
        session,
        plan,
        measures,
        agent=config.heuristic,
        score=rounds[-1].recovered,
        evaluations=total,
    )
    return replace(result, rounds=tuple(rounds), model=recovered)


def _round(session: Session, plan: Plan, pruned: nn.Module, recovered: nn.Module) -> Round:
    """Score a round on the search split: nothing was chosen by it."""
    inputs, cost = session.inputs, session.cost
    search = inputs.data.search.to(inputs.device)
    before, after = (measure(net, search, inputs.task).score for net in (pruned, recovered))
    return Round(plan, cost.macs(plan), cost.parameters(plan), before, after)


def _note(session: Session, number: int, found: Round) -> None:
    """Journal a round, unless an earlier run of the same command did, and draw it."""
    journal = session.run.journal
    if len(journal.records) < number:
        journal.append(
            {
                "round": number,
                "plan": found.plan.to_json(),
                "pruned": found.pruned,
                "recovered": found.recovered,
            }
        )
    session.curves.round(number, found)


def _restored(
    session: Session, dense: nn.Module, recovered: nn.Module, plan: Plan, ranking: Ranking
) -> nn.Module:
    """Return the fine-tuned network in the dense shapes, zero where units are gone."""
    return Slicer(dense, session.structure).expand(recovered, ranking.kept(plan))
