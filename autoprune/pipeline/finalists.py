"""Finalists: the best few plans of a search are built as delivered, and the best is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isfinite

from torch import nn

from autoprune.data import Samples
from autoprune.errors import AutopruneError
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form
from autoprune.networks.score import measure
from autoprune.pipeline.ceiling import Candidate, Make, held
from autoprune.pipeline.own_stages import evaluated
from autoprune.pipeline.session import PruningSession
from autoprune.problem.ledger import Ledger
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.recalibration import Recalibration
from autoprune.ranking.reconstruction import Reconstruction
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

Build = Callable[[Plan], nn.Module]


def builder(session: PruningSession, model: nn.Module, ranking: Ranking) -> Build:
    """Builder of the compact network of a plan, with batch-norm statistics that fit it.

    Where the ranking repairs weights, the network is also fitted to the dense one layer after
    layer (:mod:`autoprune.ranking.reconstruction`).
    """
    inputs, count = session.inputs, session.tuning.samples.ranking
    if ranking.repairs and not session.units.granularity.masked:
        calibration = inputs.calibration(count, session.seeds)
        fit = Reconstruction(model, Slicer(model, session.structure), inputs.task, calibration)
        return lambda plan: fit(ranking.kept(plan), ranking.weights(plan))
    return quick_builder(session, model, ranking, count)


def quick_builder(session: PruningSession, model: nn.Module, ranking: Ranking, count: int) -> Build:
    """Builder that fits nothing but batch-norm statistics, by ``count`` calibration samples."""
    inputs, slicer = session.inputs, Slicer(model, session.structure)
    calibration = inputs.calibration(count, session.seeds)
    samples = Batches(calibration, 128, model, Form(), seed=session.seeds.calibration)
    recalibrate = Recalibration(model, inputs.task, samples)

    def build(plan: Plan) -> nn.Module:
        weights = ranking.weights(plan) | recalibrate.references
        compact = slicer.build(ranking.kept(plan), weights)
        recalibrate(compact)
        return compact

    return build


def shrink(session: PruningSession, model: nn.Module, plan: Plan, ranking: Ranking) -> nn.Module:
    """Build the network of one plan; see ``builder``."""
    return builder(session, model, ranking)(plan)


def narrow_builder(session: PruningSession, model: nn.Module, ranking: Ranking) -> Make:
    """Return what makes candidates of narrower plans, not scored."""
    return lambda plan: Candidate(plan, shrink(session, model, plan, ranking))


def choose(
    session: PruningSession,
    dense: nn.Module,
    build: Build,
    ledger: Ledger,
    besides: Sequence[Plan] = (),
) -> Candidate:
    """Build the best few plans and score them on samples the search never saw; return the best.

    ``besides``: evaluated plans that are finalists in any case. By the loss, which says more than
    the score of how they will do on yet other samples (docs/agent.md). Of those that hold a limit
    on latency when they are measured (:mod:`autoprune.pipeline.ceiling`). Raises AutopruneError if
    not one evaluation is finite, InfeasibleError if no network holds.
    """
    sound = [record for record in ledger.history if not record.evaluation.failed]
    if not sound:
        raise AutopruneError(
            "every plan that was tried scored NaN or infinity",
            "try a larger budget, or look at the network with autoprune inspect",
        )
    best = sorted(sound, key=lambda record: record.evaluation.loss)
    count = session.tuning.finalists.count
    finalists = best[:count] + [record for record in best[count:] if record.plan in besides]
    built = []
    with session.progress.phase("finals", len(finalists)) as phase:
        for record in finalists:
            built.append(_candidate(session, build, record.plan, record.evaluation.score))
            phase.advance()
    built.sort(key=lambda candidate: candidate.loss)
    return held(session, dense, built, lambda plan: _candidate(session, build, plan))


def _candidate(
    session: PruningSession, build: Build, plan: Plan, score: float | None = None
) -> Candidate:
    """Build a network and score it: loss on the validation split; score on the search split."""
    network, inputs = build(plan), session.inputs
    loss, found = _scored(session, network, inputs.validation)
    if score is None:
        found = _scored(session, network, inputs.search)[1]
    return Candidate(
        plan, network, found if score is None else score, loss if isfinite(loss) else inf
    )


def _scored(session: PruningSession, network: nn.Module, split: Samples) -> tuple[float, float]:
    """Loss and score on a split, or those of the caller's function."""
    if session.own.evaluate is None:
        found = measure(network, split, session.inputs.task)
        return found.loss, found.score
    given = evaluated(network, session.own.evaluate, session.seeds.searcher)
    return given.loss, given.score
