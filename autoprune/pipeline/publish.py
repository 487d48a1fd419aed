"""Publication of a run: networks measured on the test split, and the one that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from autoprune.cost.latency.backends import find_backend
from autoprune.cost.latency.deployed import samples_in
from autoprune.networks.bitmap import pack
from autoprune.networks.save import spec_json, state_tensors, write_tensors
from autoprune.networks.score import measure
from autoprune.pipeline.result import Measure
from autoprune.pipeline.session import PruningSession
from autoprune.ranking.ordering import Ranking
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer


def measure_all(
    session: PruningSession, networks: Mapping[str, tuple[nn.Module, Plan | None]]
) -> dict[str, Measure]:
    """Measure networks on the test split, which is read here and nowhere else.

    The dense network has no plan.
    """
    inputs, cost = session.inputs, session.cost
    test = inputs.test
    with session.progress.phase("test", len(networks)) as phase:
        batch = inputs.sized_batch(session.config.latency_batch)  # as latency budgets are
        models = [model for model, _ in networks.values()]
        backend = find_backend(session.config.backend, models[0], inputs.task, batch)
        times = backend.latencies(models)
        result = {}
        for (name, (model, plan)), seconds in zip(networks.items(), times, strict=True):
            found = measure(model, test, inputs.task)
            result[name] = Measure(
                score=found.score,
                macs=cost.macs(plan) if plan else cost.macs.dense,
                parameters=cost.parameters(plan) if plan else cost.parameters.dense,
                bytes=cost.bytes(plan) if plan else cost.bytes.dense,
                latency_ms=1000 * seconds / samples_in(batch),
                other=found.other,
            )
            phase.advance()
    return result


def publish(
    session: PruningSession,
    model: nn.Module,
    plan: Plan,
    ranking: Ranking,
    dense: nn.Module,
) -> None:
    """Store plan, masks and the compact network."""
    run, slicer = session.run, Slicer(dense, session.structure)
    kept, tensors = ranking.kept(plan), state_tensors(model)
    sparse = session.units.masks(ranking, plan)
    spec = session.inputs.spec
    if sparse:
        described = spec_json(spec, {}, {}, tuple(sparse))
    else:
        gone = [(removal, len(constant)) for removal, constant in slicer.constants(kept)]
        described = spec_json(spec, slicer.indices(kept), slicer.widths(kept), (), gone)
    run.publish_json(
        "plan.json",
        {
            "format": 2 if 0 in plan.values() else 1,  # 2: branches are gone
            "budget": session.config.budget,
            "granularity": session.config.granularity,
            "keep": plan.to_json(),
        },
    )
    masks = sparse or slicer.masks(kept)
    run.publish("masks.safetensors", partial(write_tensors, tensors=masks))
    run.publish_json("model.json", described)
    run.publish("model.safetensors", partial(write_tensors, tensors=pack(tensors, sparse)))
