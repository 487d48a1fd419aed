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
from autoprune.pipeline.own_stages import evaluated
from autoprune.pipeline.session import PruningSession
from autoprune.problem.ledger import Ledger, Record
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


def choose(
    session: PruningSession, build: Build, ledger: Ledger, besides: Sequence[Plan] = ()
) -> tuple[Record, nn.Module]:
    """Build the best few plans and score them on samples the search never saw; return the best.

    ``besides``: evaluated plans that are finalists in any case. By the loss, which says more than
    the score of how they will do on yet other samples (docs/agent.md). Raises AutopruneError if not
    one evaluation is finite.
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
    validation = session.inputs.validation
    built = []
    with session.progress.phase("finals", len(finalists)) as phase:
        for record in finalists:
            network = build(record.plan)
            loss = _loss(session, network, validation)
            built.append((loss if isfinite(loss) else inf, record, network))
            phase.advance()
    _, chosen, network = min(built, key=lambda entry: entry[0])
    return chosen, network


def _loss(session: PruningSession, network: nn.Module, validation: Samples) -> float:
    """Loss on the validation split, or that of the caller's function."""
    if session.own.evaluate is None:
        return measure(network, validation, session.inputs.task).loss
    return evaluated(network, session.own.evaluate, session.seeds.searcher).loss
