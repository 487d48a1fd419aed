"""Publication of a run: networks measured on the test split, and the one that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from autoprune.cost.latency.backends import find_backend, latencies
from autoprune.cost.latency.deployed import samples_in
from autoprune.networks.bitmap import pack_masks
from autoprune.networks.save import spec_json, write_tensors
from autoprune.networks.score import Score, measure
from autoprune.pipeline.dense_of import MASKS
from autoprune.pipeline.gauge import Gauge
from autoprune.pipeline.network_files import PLAN, publish_network
from autoprune.pipeline.result import Measure
from autoprune.pipeline.session import PruningSession
from autoprune.pipeline.speeds import Speed, compared
from autoprune.ranking.ordering import Ranking
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer


def measure_all(
    session: PruningSession,
    networks: Mapping[str, tuple[nn.Module, Plan | None]],
    dense: Score | None = None,
) -> dict[str, Measure]:
    """Measure networks on the test split, which is read here and nowhere else.

    The dense network has no plan; ``dense``: its score, if that is known.
    """
    inputs, cost = session.inputs, session.cost
    test = inputs.test
    with session.progress.phase("test", len(networks)) as phase:
        times = _times(session, networks)
        result = {}
        scores = {} if dense is None else {id(networks["dense"][0]): dense}
        for name, (model, plan) in networks.items():  # some are the same one
            if id(model) not in scores:
                scores[id(model)] = measure(model, test, inputs.task)
            found = scores[id(model)]
            result[name] = Measure(
                score=found.score,
                macs=cost.macs(plan) if plan else cost.macs.dense,
                parameters=cost.parameters(plan) if plan else cost.parameters.dense,
                bytes=cost.bytes(plan) if plan else cost.bytes.dense,
                latency_ms=times[plan],
                other=found.other,
            )
            phase.advance()
    return result


def _times(
    session: PruningSession, networks: Mapping[str, tuple[nn.Module, Plan | None]]
) -> dict[Plan | None, float]:
    """Return milliseconds per sample by plan, None for the dense network: a plan decides them.

    With a limit on latency they are those by which the delivered network was held to it.
    """
    inputs = session.inputs
    dense, _ = networks["dense"]
    models = {plan: model for model, plan in networks.values() if plan is not None}
    if session.latency is not None:
        found = Gauge(session, dense).measure(list(models.items()))
        delivered = next(one for one in found if one.plan == networks["finetuned"][1])
        scaled: dict[Plan | None, float] = {
            one.plan: delivered.dense_ms * one.fraction.median for one in found
        }
        return {**scaled, delivered.plan: delivered.ms.median, None: delivered.dense_ms}
    batch = inputs.sized_batch(session.config.latency_batch)
    backend = find_backend(session.config.backend, dense, inputs.task, batch)
    seconds = latencies(backend, [dense, *models.values()])
    scale = 1000 / samples_in(batch)
    return {plan: scale * spent for plan, spent in zip((None, *models), seconds, strict=True)}


def measure_speeds(
    session: PruningSession, dense: nn.Module, delivered: nn.Module
) -> tuple[Speed, ...]:
    """Time the delivered network on one sample and on a batch.

    Masked networks have the dense shapes, and are not timed.
    """
    config, inputs = session.config, session.inputs
    if session.units.granularity.masked:
        return ()
    batches = [inputs.sized_batch(size) for size in dict.fromkeys((1, config.latency_batch))]
    with session.progress.phase("speed", 1) as phase:
        found = compared(
            dense, delivered, inputs.task, batches, config.backend, session.progress.note
        )
        phase.advance()
    return found


def publish(
    session: PruningSession,
    model: nn.Module,
    plan: Plan,
    ranking: Ranking,
    dense: nn.Module,
) -> None:
    """Store plan, masks and the compact network."""
    run, slicer = session.run, Slicer(dense, session.structure)
    kept = ranking.kept(plan)
    sparse = session.units.masks(ranking, plan)
    spec = session.inputs.spec
    if sparse:
        described = spec_json(spec, {}, {}, tuple(sparse))
    else:
        gone = [(removal, len(constant)) for removal, constant in slicer.constants(kept)]
        described = spec_json(spec, slicer.indices(kept), slicer.widths(kept), (), gone)
    run.publish_json(
        PLAN,
        {
            "format": 2 if 0 in plan.values() else 1,  # 2: branches are gone
            "budget": session.config.budget,
            "granularity": session.config.granularity,
            "keep": plan.to_json(),
        },
    )
    masks = sparse or slicer.masks(kept)
    run.publish(MASKS, partial(write_tensors, tensors=pack_masks(masks)))
    publish_network(run, model, described, sparse, {})
