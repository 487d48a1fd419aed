"""Assembly of a result: plan, measures, costs and files in one record."""

from __future__ import annotations

from collections.abc import Mapping

from autoprune.data.task import metric
from autoprune.foundation.page import REPORT
from autoprune.pipeline.config import PruningConfig
from autoprune.pipeline.result import GroupKeep, LatencyCheck, Measure, Result
from autoprune.pipeline.session import PruningSession
from autoprune.pipeline.speeds import Speed
from autoprune.pipeline.timing import recorded
from autoprune.problem.granularity.kernels import remarks
from autoprune.structure.plan import Plan


def assemble(
    session: PruningSession,
    plan: Plan,
    measures: Mapping[str, Measure],
    speeds: tuple[Speed, ...],
    *,
    agent: str,
    score: float | None,
    evaluations: int,
) -> Result:
    """Assemble the result of a run; ``measures`` of dense, pruned and finetuned network."""
    config, run, units = session.config, session.run, session.units
    amounts, shares = units.amounts(plan), session.cost.macs.shares
    groups = tuple(
        GroupKeep(group.name, group.kind, *amounts[group.name], round(float(share), 6))
        for group, share in zip(units.decisions.groups, shares, strict=True)
    )
    check = None
    if session.latency is not None:
        check = LatencyCheck.of(session.latency, recorded(run)[plan])
    return Result(
        dense=measures["dense"],
        pruned=measures["pruned"],
        finetuned=measures["finetuned"],
        budget=config.budget,
        plan=plan,
        groups=groups,
        evaluations=evaluations,
        seconds=0.0,
        seed=config.seed,
        metric=metric(session.inputs.task),
        agent=agent,
        ranking=config.ranking,
        granularity=config.granularity,
        network=str(config.model),
        data=config.data,
        score=score,
        run=run.path,
        latency=check,
        speeds=speeds,
        finetune_epochs=config.finetune_epochs,
        matched=measures.get("matched"),
        files=_files(config),
        warnings=(*run.warnings, *remarks(units.granularity, session.inputs.device)),
    )


def _files(config: PruningConfig) -> dict[str, str]:
    """Return the files of a run, with what is in them."""
    done = ["pruned"]
    done += ["matched"] if config.match is not None else []
    done += ["fine-tuned"] if config.finetune_epochs else []
    weights = f"the {', '.join(done)} weights"
    return {
        REPORT: "everything shown here and more, with pictures; one file to open or to send",
        "model.safetensors": f"{weights}; autoprune.load(run) rebuilds the network",
        "plan.json": "units kept in every group",
        "masks.safetensors": "the plan as bitmaps of the dense shapes",
        "evaluations.jsonl": "every plan that was tried",
        "result.json": "everything shown here",
    }
