"""``autoprune train`` and ``autoprune finetune``: one training, one run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

from torch import Tensor, nn

from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.commands.train.finetune import find_source
from autoprune.commands.train.fit_config import fit_config
from autoprune.commands.train.result import Trained
from autoprune.cost.model import CostModel
from autoprune.data import SPLITS, Data, describe
from autoprune.data.task import Task, metric
from autoprune.foundation.charts import Curve, canvas, draw_curves, save
from autoprune.foundation.progress import Progress
from autoprune.networks.bitmap import pack
from autoprune.networks.execution import device_of
from autoprune.networks.save import SPEC, spec_json, state_tensors, write_tensors
from autoprune.networks.score import measure
from autoprune.networks.weights import INITIAL, WEIGHTS
from autoprune.pipeline.inputs import from_config, on_device, weights_hash
from autoprune.problem.granularity.layout import divide
from autoprune.problem.granularity.parse import Granularity
from autoprune.runs.run import RESULT, Run
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done, fit_in
from autoprune.training.loop import FitConfig

FILES = {
    "model.safetensors": "the trained weights; autoprune.load(run) rebuilds the network",
    "initial.safetensors": "the weights it began with",
    "training.svg": "loss and validation score by epoch",
    "evaluations.jsonl": "the same as figures",
    "result.json": "everything shown here",
}


@dataclass(frozen=True)
class Training:
    """What is trained and how; ``model`` begins as it is, ``spec`` is its ``model.json``.

    ``known`` says that its weights are worth a measurement; ``carried`` are files that stay with
    the network.
    """

    command: str
    network: str
    model: nn.Module
    spec: Mapping[str, Any]
    data: Data
    named: str
    task: Task
    fit: FitConfig
    known: bool
    teacher: nn.Module | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    carried: Mapping[str, Path] = field(default_factory=dict)


def run_train(config: TrainConfig, progress: Progress) -> Trained:
    """Carry out ``autoprune train``; raises AutopruneError for whatever a user can mend."""
    found = from_config(config, untrained=True)
    fit = fit_config(config, found.model, len(found.data.train))
    training = Training(
        config.command,
        str(config.model),
        found.model,
        spec_json(found.spec, {}, {}),
        found.data,
        config.data,
        found.task,
        fit,
        known=found.trained,
    )
    return _carry_out(training, config, progress)


def run_finetune(config: FinetuneConfig, progress: Progress) -> Trained:
    """Carry out ``autoprune finetune``; raises AutopruneError for whatever a user can mend."""
    found = find_source(config)
    config = replace(config, model=found.network, data=found.named, task=found.kind)
    fit = fit_config(config, found.model, len(found.data.train))
    if found.teacher is None:
        fit = replace(fit, distill=0.0)
    training = Training(
        config.command,
        found.network,
        found.model,
        found.spec,
        found.data,
        found.named,
        found.task,
        fit,
        known=True,
        teacher=found.teacher,
        masks=found.masks,
        carried=found.carried,
    )
    return _carry_out(training, config, progress)


def _carry_out(
    training: Training, config: TrainConfig | FinetuneConfig, progress: Progress
) -> Trained:
    """Train, or continue, or show a finished run again; mend a damaged one."""
    with progress.phase("inspect", 1) as phase:
        example = on_device(training.data.example(training.task), device_of(training.model))
        structure = analyze(training.model, example)
        phase.advance()
    with Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(data=training.data.fingerprint, weights=weights_hash(training.model))
        if done(run, progress):
            return replace(Trained.from_json(run.artifacts.json(RESULT)), run=run.path)
        run.publish_json(SPLITS, describe(training.data))
        run.publish(INITIAL, partial(write_tensors, tensors=state_tensors(training.model)))
        model = copy.deepcopy(training.model).requires_grad_(True)
        epochs, seconds = _fit(training, model, run, progress)
        _publish(training, model, epochs, run)
        result = _result(training, model, structure, epochs[-1], run, progress)
        result = replace(result, seconds=round(seconds, 2), task=str(config.task))
        run.publish_json(RESULT, result.to_json())
        discard(run.artifacts)
        return result


def _fit(
    training: Training, model: nn.Module, run: Run, progress: Progress
) -> tuple[list[dict[str, Any]], float]:
    """Train in the run; return what was written down of every epoch, and the seconds it took."""
    device = device_of(model)
    validation = training.data.validation.to(device)
    known = {record["epoch"]: record for record in run.journal.records}
    epochs = []
    with run.events() as events:

        def note(done: int, total: int, loss: float) -> None:
            """Measure an epoch on validation, unless it was before, and draw its curves."""
            if done not in known:
                found = measure(model, validation, training.task)
                known[done] = {
                    "epoch": done,
                    "loss": loss,
                    "validation": found.score,
                    "validation_loss": found.loss,
                }
                run.journal.append(known[done])
                progress.note(
                    f"epoch {done}/{total}: loss {loss:.3g}, validation {100 * found.score:.2f} %"
                )
            epochs.append(known[done])
            for name in ("loss", "validation", "validation_loss"):
                events.add_scalar(f"{training.command}/{name}", known[done][name], done)

        seconds = fit_in(
            run,
            progress,
            training.command,
            model,
            training.data.train.to(device),
            training.task,
            training.fit,
            teacher=training.teacher,
            masks={
                name: mask.to(device)
                for name, mask in training.masks.items()
                if not bool(mask.all())
            },
            on_epoch=note,
        )
    return epochs, seconds


def _publish(training: Training, model: nn.Module, epochs: list[dict[str, Any]], run: Run) -> None:
    """Store the network, what belongs to it, and the picture of its training."""
    for name, path in training.carried.items():
        run.publish(name, partial(copyfile, path))
    run.publish_json(SPEC, training.spec)
    sparse = {name: training.masks[name] for name in training.spec.get("sparse", ())}
    run.publish(WEIGHTS, partial(write_tensors, tensors=pack(state_tensors(model), sparse)))
    numbers = [record["epoch"] for record in epochs]
    figure, (losses, scores) = canvas(columns=2)
    curves = {
        "training": Curve(numbers, [record["loss"] for record in epochs]),
        "validation": Curve(numbers, [record["validation_loss"] for record in epochs]),
    }
    draw_curves(losses, curves, markers=True)
    losses.set(title="loss", xlabel="epoch")
    percent = Curve(numbers, [100 * record["validation"] for record in epochs])
    draw_curves(scores, {"validation": percent}, markers=True)
    scores.set(title=f"validation {metric(training.task)} [%]", xlabel="epoch")
    run.publish("training.svg", partial(_draw, figure))


def _draw(figure: Any, path: Path) -> None:
    drawn = path.with_name(f"{path.name}.svg")  # named by its ending
    save(figure, drawn)
    drawn.replace(path)


def _result(
    training: Training,
    model: nn.Module,
    structure: Structure,
    last: Mapping[str, Any],
    run: Run,
    progress: Progress,
) -> Trained:
    """Read the test split, once, and put everything together."""
    test = training.data.test.to(device_of(model))
    with progress.phase("test", 1 + training.known) as phase:
        before = measure(training.model, test, training.task).score if training.known else None
        phase.advance(int(training.known))
        after = measure(model, test, training.task)
        phase.advance()
    cost = CostModel(structure)
    removed = {name: int((~mask).sum()) for name, mask in training.masks.items()}
    layouts, _ = divide(structure, Granularity.parse("weight"))
    saved = sum(item.macs * removed.get(item.tensor, 0) for item in layouts)
    return Trained(
        command=training.command,
        network=training.network,
        data=training.named,
        metric=metric(training.task),
        accuracy=after.score,
        before=before,
        validation=last["validation"],
        loss=last["loss"],
        epochs=last["epoch"],
        steps=training.fit.length(len(training.data.train)),
        seconds=0.0,
        seed=training.fit.seed,
        macs=cost.macs.dense - saved,
        parameters=cost.parameters.dense - sum(removed.values()),
        bytes=(run.path / WEIGHTS).stat().st_size,
        run=run.path,
        other=after.other,
        files=FILES,
        warnings=tuple(run.warnings),
    )
