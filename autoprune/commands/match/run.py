"""Feature matching by itself: the compact network of a run learns from its dense one's values."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autoprune.commands.match.config import MatchConfig
from autoprune.commands.match.result import Matched
from autoprune.cost.model import CostModel
from autoprune.data import SPLITS, Data, Samples, describe
from autoprune.data.task import Task, metric
from autoprune.errors import UsageError
from autoprune.foundation.progress import Progress
from autoprune.foundation.seeds import Seeds
from autoprune.networks.analysis import analyze_for
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.save import SPEC, load
from autoprune.networks.score import measure
from autoprune.networks.threads import suitable_threads, threads
from autoprune.networks.weights import BASE, read_tensors
from autoprune.pipeline.dense_of import dense_of, weight_masks, weights_of
from autoprune.pipeline.inputs import (
    known_config,
    of_run,
    resolve_device,
    tensors_hash,
    weights_hash,
)
from autoprune.pipeline.match import Lesson, learned, unlabeled
from autoprune.pipeline.network_files import carried, publish_network
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import CONFIG, RESULT, Run
from autoprune.structure.cut_record import kept_units, recorded_cut
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Structure
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done
from autoprune.training.matching import Matching, points

PRUNING = ("search", "apply", "prune", "match")
"""Commands whose runs record the dense weights that they began with."""

FILES = {
    "model.safetensors": "the matched weights; autoprune.load(run) rebuilds the network",
    "result.json": "everything shown here",
}


@dataclass(frozen=True)
class Pair:
    """A compact network and the dense one that it was cut from, with data and task.

    ``samples``: those to match on.
    """

    compact: nn.Module
    dense: nn.Module
    data: Data
    task: Task
    structure: Structure
    artifacts: Artifacts
    samples: Samples


def run_match(
    config: MatchConfig,
    progress: Progress,
    dense: nn.Module | None = None,
) -> Matched:
    """Carry out ``autoprune match``; raises AutopruneError for whatever a user can mend.

    ``dense``: the dense network, in place of the one that the run names.
    """
    with progress.phase("inspect", 1) as phase:
        config = _completed(config)
        pair = _pair(config, dense)
        phase.advance()
    number = config.threads or suitable_threads(CostModel(pair.structure).macs.dense)
    with threads(number), Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(
            data=pair.data.fingerprint,
            weights=weights_hash(pair.compact),
            dense=weights_hash(pair.dense),
        )
        if done(run, progress):
            known = Matched.from_json(run.artifacts.json(RESULT))
            return replace(known, run=run.path, model=load(run.path, copy.deepcopy(pair.dense)))
        run.publish_json(SPLITS, describe(pair.data))
        result = _match(config, pair, run, progress)
        run.publish_json(RESULT, result.to_json())
        discard(run.artifacts)
        return result


def _match(config: MatchConfig, pair: Pair, run: Run, progress: Progress) -> Matched:
    """Match, publish and measure."""
    began = time.monotonic()
    masks = weight_masks(pair.artifacts, pair.compact)
    with run.events() as events:
        model, steps = learned(
            _lesson(config, pair, masks),
            pair.compact,
            run,
            progress,
            on_epoch=lambda number, _, loss: events.add_scalar("match/loss", loss, number),
        )
    files = carried(pair.artifacts)
    publish_network(run, model, pair.artifacts.json(SPEC), masks, files)
    networks = (pair.dense, pair.compact, model)
    with progress.phase("test", len(networks)) as phase:
        test, scores = pair.data.test, []
        for network in networks:
            scores.append(measure(network, test, pair.task).score)
            phase.advance()
    known = known_config(pair.artifacts)
    return Matched(
        source=Path(config.run),
        network=str(config.model or known.get("model") or Path(config.run).name),
        data=str(config.data),
        task=pair.task.name,
        metric=metric(pair.task),
        dense=scores[0],
        before=scores[1],
        matched=scores[2],
        samples=len(pair.samples),
        steps=steps,
        seconds=round(time.monotonic() - began, 2),
        seed=config.seed or 0,
        run=run.path,
        files=FILES,
        warnings=tuple(run.warnings),
        model=model,
    )


def _lesson(config: MatchConfig, pair: Pair, masks: dict[str, Tensor]) -> Lesson:
    """Say what is learned, and how long."""
    kept = kept_units(pair.structure, recorded_cut(pair.compact))
    slicer = Slicer(pair.dense, pair.structure)
    places = points(pair.structure, slicer, kept, pair.compact)
    return Lesson(
        Matching(pair.dense, pair.task, places),
        pair.dense,
        pair.task,
        pair.samples,
        config.match,
        Seeds(config.seed or 0).training,
        masks,
    )


def _completed(config: MatchConfig) -> MatchConfig:
    """Return the configuration with what it leaves to its run, so that others can go on from it."""
    if not (Path(config.run) / SPEC).is_file():
        raise UsageError(
            f"{config.run} holds no pruned network", "give the directory of a finished run"
        )
    artifacts = Artifacts(Path(config.run))
    known, weights = known_config(artifacts), weights_of(artifacts)
    return replace(
        config,
        data=config.data or known.get("data"),
        resize=config.resize or (None if config.data else known.get("resize")),
        task=config.task or known.get("task"),
        seed=(known.get("seed") or 0) if config.seed is None else config.seed,
        teacher=config.teacher or (None if weights is None else str(weights)),
    )


def _pair(config: MatchConfig, dense: nn.Module | None) -> Pair:
    """Load a compact network and the dense one that it was cut from.

    Raises UsageError for one that is not of this dense one.
    """
    path = Path(config.run)
    device, artifacts = resolve_device(config.device), Artifacts(path)
    data, task = of_run(path, config.data, config.task, config.resize, trust_code=config.trust_code)
    data = data.to(device)
    if dense is None:
        dense = dense_of(
            artifacts, data, config.model, config.teacher, trust_code=config.trust_code
        )
    if dense is None:
        raise UsageError(
            f"the dense network of {path} is not known, or its weights are gone",
            "name them with --teacher FILE, and what builds it with --model",
        )
    dense = copy.deepcopy(dense).to(device).eval()
    compact = load(path, copy.deepcopy(dense), trust_code=config.trust_code).to(device)
    check_compatible(compact, data, task)
    _check_origin(path, artifacts, dense)
    structure = analyze_for(task, dense, data.example(task))
    seeds = Seeds(config.seed or 0)
    samples = unlabeled(config.unlabeled, config.resize, data, task, seeds.calibration)
    return Pair(compact, dense, data, task, structure, artifacts, samples)


def _check_origin(path: Path, artifacts: Artifacts, dense: nn.Module) -> None:
    """Raise UsageError if a run says that its network was cut from other weights than these."""
    if BASE in artifacts.names:
        began: Any = tensors_hash(read_tensors(artifacts.file(BASE)))
    else:
        meta: Any = artifacts.json(CONFIG) if CONFIG in artifacts.names else {}
        facts = meta.get("facts", {}) if meta.get("command") in PRUNING else {}
        began = facts.get("dense") or facts.get("weights")
    if began is not None and began != weights_hash(dense):
        raise UsageError(
            f"the network of {path} was not pruned from this dense one: the weights differ",
            "--teacher names those that the run began with",
        )
