"""Entries of ``autoprune train`` and ``autoprune finetune``: one training in one run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.commands.train.finetune import finetune_inputs
from autoprune.commands.train.inputs import TrainingInputs, train_inputs
from autoprune.commands.train.page import trained_page, training_figure
from autoprune.commands.train.result import Trained
from autoprune.commands.train.team import train_along
from autoprune.cost.model import CostModel
from autoprune.data import SPLITS, describe
from autoprune.data.task import metric
from autoprune.foundation.charts import save
from autoprune.foundation.files import canonical, text_writer
from autoprune.foundation.launch import Launch
from autoprune.foundation.page import REPORT
from autoprune.foundation.progress import Progress
from autoprune.networks.execution import device_of
from autoprune.networks.frozen import THAWED, thawed
from autoprune.networks.save import state_tensors, write_tensors
from autoprune.networks.score import Score, measure
from autoprune.networks.threads import suitable_threads, threads
from autoprune.networks.weights import INITIAL, WEIGHTS
from autoprune.pipeline.inputs import weights_hash
from autoprune.pipeline.network_files import publish_network
from autoprune.problem.granularity.layout import divide
from autoprune.problem.granularity.parse import Granularity
from autoprune.runs.run import RESULT, Run
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.training.checkpoint import discard
from autoprune.training.distributed import Team, joined
from autoprune.training.in_run import TrainedInRun, done, fit_in

FILES = {
    "model.safetensors": "the trained weights; autoprune.load(run) rebuilds the network",
    "initial.safetensors": "the weights it began with",
    REPORT: "everything shown here with pictures; one file to open or to send",
    "training.svg": "loss and validation score by epoch",
    "evaluations.jsonl": "the same as figures",
    "result.json": "everything shown here",
}


def run_train(config: TrainConfig, progress: Progress) -> Trained:
    """Carry out ``autoprune train``; raises AutopruneError for errors that a user can fix."""
    return _carry_out(train_inputs(config), config, progress)


def run_finetune(config: FinetuneConfig, progress: Progress) -> Trained:
    """Carry out ``autoprune finetune``; raises AutopruneError for errors that a user can fix."""
    inputs = finetune_inputs(config)
    config = replace(
        config,
        model=inputs.network,
        data=inputs.data_name,
        resize=inputs.resize,
        task=inputs.task_name,
    )
    return _carry_out(inputs, config, progress)


def _carry_out(
    inputs: TrainingInputs, config: TrainConfig | FinetuneConfig, progress: Progress
) -> Trained:
    """Train in one process or several, or continue, or show a finished run again."""
    launch, device = Launch.of(), device_of(inputs.model)
    inputs = replace(inputs, data=inputs.data.to(device))
    with joined(launch, device) as team:
        if team is None:
            return _lead(inputs, config, progress, None)
        if not launch.leads:
            return train_along(inputs, config, team)
        progress.note(f"{launch.size} processes train together")
        result = _lead(inputs, config, progress, team)
        team.end(canonical(result.to_json()).encode())
        return result


def _lead(
    inputs: TrainingInputs,
    config: TrainConfig | FinetuneConfig,
    progress: Progress,
    team: Team | None,
) -> Trained:
    """Train in the run, with a team if there is one; repair a damaged run."""
    with progress.phase("inspect", 1) as phase:
        structure = analyze(inputs.model, inputs.data.example(inputs.task))
        phase.advance()
    if team is None:
        number = config.threads or suitable_threads(CostModel(structure).macs.dense)
    else:
        number = team.threads(config.threads)
    with threads(number), Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(data=inputs.data.fingerprint, weights=weights_hash(inputs.model))
        if done(run, progress):
            return replace(Trained.from_json(run.artifacts.json(RESULT)), run=run.path)
        run.publish_json(SPLITS, describe(inputs.data))
        run.warnings.extend(inputs.data.remarks)
        run.publish(INITIAL, partial(write_tensors, tensors=state_tensors(inputs.model)))
        model = copy.deepcopy(inputs.model)
        with thawed(model) as all_frozen:
            if all_frozen:
                run.warnings.append(THAWED)
            epochs, trained = _fit(inputs, config.command, model, run, progress, team)
        if trained.selected:
            run.warnings.extend(trained.selected.remarks("fine-tuning"))
        publish_network(run, model, inputs.spec, inputs.masks, inputs.carried)
        figure = training_figure(epochs, metric(inputs.task))
        run.publish("training.svg", partial(_save_svg, figure))
        result = _result(inputs, config.command, model, structure, epochs[-1], run, progress)
        if trained.selected:
            kept = trained.selected.epoch
            if kept:
                score = epochs[kept - 1]["validation"]
            else:
                score = measure(model, inputs.data.validation, inputs.task).score
            result = replace(result, kept_epoch=kept, validation=score)
        result = replace(result, seconds=round(trained.seconds, 2))
        run.publish(REPORT, text_writer(trained_page(result, epochs, config)))
        run.publish_json(RESULT, result.to_json())
        discard(run.artifacts)
        return result


def _fit(
    inputs: TrainingInputs,
    command: str,
    model: nn.Module,
    run: Run,
    progress: Progress,
    team: Team | None,
) -> tuple[list[dict[str, Any]], TrainedInRun]:
    """Train in the run; return the journal's record of every epoch, and what was trained.

    Fine-tuning ends with the best weights, those before it included.
    """
    device, validation = device_of(model), inputs.data.validation
    known = {record["epoch"]: record for record in run.journal.records}
    epochs: list[dict[str, Any]] = []
    latest: list[Score] = []

    def validate(network: nn.Module) -> float:
        latest[:] = [measure(network, validation, inputs.task)]
        return latest[0].loss

    with run.events() as events:

        def note(done: int, total: int, loss: float) -> None:  # an epoch, perhaps once more
            if done not in known:
                measured = latest[0] if latest else measure(model, validation, inputs.task)
                known[done] = _record(done, loss, measured)
                run.journal.append(known[done])
                percent = f"{100 * measured.score:.2f} %"
                progress.note(f"epoch {done}/{total}: loss {loss:.3g}, validation {percent}")
            epochs.append(known[done])
            for name in ("loss", "validation", "validation_loss"):
                events.add_scalar(f"{command}/{name}", known[done][name], done)

        trained = fit_in(
            run,
            progress,
            command,
            model,
            inputs.data.train,
            inputs.task,
            inputs.recipe,
            teacher=inputs.teacher,
            masks=inputs.masks_on(device),
            on_epoch=note,
            validate=validate if command == FinetuneConfig.command else None,
            team=team,
        )
    return epochs, trained


def _record(epoch: int, loss: float, measured: Score) -> dict[str, Any]:
    """Return the journal's record of an epoch."""
    return {
        "epoch": epoch,
        "loss": loss,
        "validation": measured.score,
        "validation_loss": measured.loss,
    }


def _save_svg(figure: Any, path: Path) -> None:
    drawn = path.with_name(f"{path.name}.svg")  # the ending chooses the format
    save(figure, drawn)
    drawn.replace(path)


def _result(
    inputs: TrainingInputs,
    command: str,
    model: nn.Module,
    structure: Structure,
    last: Mapping[str, Any],
    run: Run,
    progress: Progress,
) -> Trained:
    """Measure on the test split, which is read once, and return the result."""
    test = inputs.data.test
    with progress.phase("test", 1 + inputs.trained) as phase:
        before = measure(inputs.model, test, inputs.task).score if inputs.trained else None
        phase.advance(int(inputs.trained))
        after = measure(model, test, inputs.task)
        phase.advance()
    cost = CostModel(structure)
    removed = {name: int((~mask).sum()) for name, mask in inputs.masks.items()}
    layouts, _ = divide(structure, Granularity.parse("weight"))
    saved = sum(layout.macs * removed.get(layout.tensor, 0) for layout in layouts)
    return Trained(
        command=command,
        network=inputs.network,
        data=inputs.data_name,
        metric=metric(inputs.task),
        accuracy=after.score,
        before=before,
        validation=last["validation"],
        loss=last["loss"],
        epochs=last["epoch"],
        steps=inputs.recipe.length(len(inputs.data.train)),
        seconds=0.0,
        seed=inputs.recipe.seed,
        macs=cost.macs.dense - saved,
        parameters=cost.parameters.dense - sum(removed.values()),
        bytes=(run.path / WEIGHTS).stat().st_size,
        run=run.path,
        task=inputs.task_name,
        other=after.other,
        files=FILES,
        warnings=tuple(run.warnings),
    )
