"""A search from end to end: the public ``search`` and what ``autoprune search`` runs."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from torch import nn

from autoprune.agents import check_name, searcher
from autoprune.cost.budget import Budget
from autoprune.cost.energy import EnergyTable
from autoprune.data import SPLITS, describe
from autoprune.data.task import metric
from autoprune.foundation.progress import Progress, Silent
from autoprune.networks.save import load
from autoprune.pipeline import explore as exploration
from autoprune.pipeline import publish as delivery
from autoprune.pipeline import stages as phases
from autoprune.pipeline.config import PruningConfig, SearchConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.explore import SearchOutcome
from autoprune.pipeline.finalists import shrink
from autoprune.pipeline.inputs import Inputs, from_config, from_objects, weights_hash
from autoprune.pipeline.result import Baseline, GroupKeep, LatencyCheck, Measure, Result
from autoprune.pipeline.session import LATENCY, Session, bind_budget, find_latency, find_structure
from autoprune.problem.granularity import Grain, Granularity, check_limits, check_ranking
from autoprune.problem.granularity.kernels import remarks
from autoprune.problem.problem import PruningProblem
from autoprune.runs.run import RESULT, Run
from autoprune.structure.plan import Plan
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done

Find = Callable[[Session, nn.Module, PruningProblem], SearchOutcome]
"""From the trained network and its problem to the plan to prune by."""

Asked = TypeVar("Asked", bound=SearchConfig)


def search(
    model: nn.Module | str,
    data: object,
    budget: str = "0.5flops",
    *,
    task: object = "classification",
    agent: str = "ddpg",
    granularity: str = "channel",
    ranking: str = "regression",
    evaluations: int = 100,
    finetune_epochs: int = 10,
    align: int | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    run: str | Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Find the best plan within a budget, prune the model to it and fine-tune.

    **Main arguments:** ``model`` is a trained ``nn.Module`` (not changed), or ``"digits-resnet"``,
    which is trained on the spot; ``data`` anything that :func:`autoprune.data.load_data` takes,
    such as ``"digits"`` or a tuple (train, test) of datasets, loaders or tensor pairs; ``budget`` a
    ceiling such as ``"0.5flops"`` or ``"2ms"``.

    **Other arguments:** those of ``autoprune search --help``; the same call continues its ``run``.
    Returns a Result with ``.model``, ``.plan`` and ``.save(path)``; raises AutopruneError.
    """
    config = SearchConfig(
        budget=budget,
        model="given",
        agent=agent,
        granularity=granularity,
        ranking=ranking,
        evaluations=evaluations,
        finetune_epochs=finetune_epochs,
        align=align,
        seed=seed,
        device=str(device),
        workers=workers,
        run=None if run is None else str(run),
        fresh=fresh,
    )
    _check_words(config)
    inputs, config = given(model, data, task, config)
    return conduct(inputs, config, progress or Silent(), partial(_search, config))


def given(
    model: nn.Module | str, data: object, task: object, config: Asked
) -> tuple[Inputs, Asked]:
    """Take what a caller in Python brings, and name it in the configuration."""
    inputs = from_objects(model, data, task, config)
    named = data if isinstance(data, str) else f"{inputs.data.name}@{inputs.data.fingerprint}"
    name = _name(model, inputs)
    return inputs, replace(config, model=name, data=named, task=inputs.task.name)


def run_search(config: SearchConfig, progress: Progress) -> Result:
    """Carry out ``autoprune search``; raises AutopruneError for whatever a user can mend."""
    _check_words(config)
    return conduct(from_config(config), config, progress, partial(_search, config))


def _check_words(config: SearchConfig) -> None:
    check_words(config)
    check_name(config.agent)


def check_words(config: PruningConfig) -> None:
    """Refuse what no network and no data could make right, before loading either."""
    granularity = Granularity.parse(config.granularity)
    check_limits(granularity, Budget.parse(config.budget))
    check_ranking(granularity, config.ranking)


def _name(model: nn.Module | str, inputs: Inputs) -> str:
    if isinstance(model, str):
        return model
    return f"{type(model).__name__}@{weights_hash(model)[:8]}"


def conduct(
    inputs: Inputs,
    config: PruningConfig,
    progress: Progress,
    work: Callable[[Session], Result],
) -> Result:
    """Do some work in a run: show a finished run again, continue any other, mend a damaged one."""
    began = time.monotonic()
    structure = find_structure(inputs, progress)
    if "energy" in Budget.parse(config.budget).costs:
        progress.note("\n  ".join(("energy is a model:", *EnergyTable().lines())))
    latency = find_latency(inputs, config, structure, progress)
    found = latency.cost if latency else None
    grain = Grain.of(structure, Granularity.parse(config.granularity), found)
    budget = bind_budget(config, grain.cost, inputs.device)
    with Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(data=inputs.data.fingerprint, weights=weights_hash(inputs.model))
        if done(run, progress):
            return _finished(run, inputs)
        run.publish_json(SPLITS, describe(inputs.data))
        if latency is not None and LATENCY not in run.artifacts.names:
            run.publish_json(LATENCY, latency.to_json())
        with run.events() as writer:
            curves = Curves(writer, grain.cost)
            session = Session(inputs, config, grain, budget, latency, run, curves, progress)
            result = work(session)
            curves.outcome(
                config.to_json(),
                {
                    "outcome/base": result.base.accuracy,
                    "outcome/pruned": result.pruned.accuracy,
                    "outcome/recovered": result.recovered.accuracy,
                },
            )
            result = replace(result, seconds=round(time.monotonic() - began, 2))
            run.publish_json(RESULT, result.to_json())
            discard(run.artifacts)
            return result


def _finished(run: Run, inputs: Inputs) -> Result:
    result = Result.from_json(run.artifacts.json(RESULT))
    model = load(run.path, copy.deepcopy(inputs.model))
    return replace(result, model=model, run=run.path)


def _search(config: SearchConfig, session: Session) -> Result:
    agent = searcher(config.agent, session.curves.learning)
    return prune_by(partial(exploration.find, agent, config), config, session)


def prune_by(find: Find, config: SearchConfig, session: Session) -> Result:
    """Make a plan by ``find``, prune, fine-tune, measure."""
    grain, dense = session.grain, phases.train(session)
    problem = phases.pose(session, dense)
    best = find(session, dense, problem)
    pruned = best.network
    if pruned is None:
        pruned = shrink(session, dense, best.plan, problem.ranking)
    masks = grain.masks(problem.ranking, best.plan)
    recovered = phases.recover(session, pruned, dense, masks=masks)
    delivery.publish(session, recovered, best.plan, problem.ranking, dense)
    networks: dict[str, tuple[nn.Module, Plan | None]] = {
        "base": (dense, None),
        "pruned": (pruned, best.plan),
        "recovered": (recovered, best.plan),
    }
    if config.baseline:
        uniform, ranking = session.budget.uniform(), grain.rank(dense, "l1")
        plain = shrink(session, dense, uniform, ranking)
        networks["plain"] = (plain, uniform)
        masks = grain.masks(ranking, uniform)
        networks["plain recovered"] = (
            phases.recover(session, plain, dense, "finetune-plain", masks),
            uniform,
        )
    measures = delivery.measure_all(session, networks)
    result = result_of(
        session,
        best.plan,
        measures,
        agent=config.agent,
        score=best.score,
        evaluations=best.evaluations,
    )
    if config.baseline:
        found = Baseline("uniform + l1", measures["plain"], measures["plain recovered"])
        result = replace(result, baseline=found)
    return replace(result, model=recovered)


def result_of(
    session: Session,
    plan: Plan,
    measures: Mapping[str, Measure],
    *,
    agent: str,
    score: float | None,
    evaluations: int,
) -> Result:
    """Put together what a run came to: ``measures`` of base, pruned and recovered, and the rest."""
    config, run, grain = session.config, session.run, session.grain
    amounts, shares = grain.amounts(plan), session.cost.macs.shares
    groups = tuple(
        GroupKeep(group.name, group.kind, *amounts[group.name], round(float(share), 6))
        for group, share in zip(grain.units.groups, shares, strict=True)
    )
    check = None
    if session.latency is not None:
        final, dense = (measures[name].latency_ms or 0.0 for name in ("recovered", "base"))
        check = LatencyCheck.of(session.latency, plan, final, dense)
    return Result(
        base=measures["base"],
        pruned=measures["pruned"],
        recovered=measures["recovered"],
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
        files=FILES,
        warnings=(*run.warnings, *remarks(grain.granularity, session.inputs.device)),
    )


FILES = {
    "model.safetensors": "the pruned, fine-tuned weights; autoprune.load(run) rebuilds the network",
    "plan.json": "units kept in every group",
    "masks.safetensors": "the plan as bool tensors of the dense shapes",
    "evaluations.jsonl": "every plan that was tried",
    "result.json": "everything shown here",
}
