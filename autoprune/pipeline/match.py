"""Stage of feature matching: between the closed-form repair and fine-tuning, without labels."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from typing import Final

from torch import nn
from torch.utils._pytree import tree_leaves

from autoprune.data import Data, Samples, load_data
from autoprune.data.task import Task, arguments
from autoprune.errors import UsageError
from autoprune.foundation.progress import Progress
from autoprune.foundation.user_code import blamed
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, device_of
from autoprune.networks.frozen import thawed
from autoprune.pipeline.session import PruningSession
from autoprune.problem.granularity.masking import Masks
from autoprune.ranking.ordering import Ranking
from autoprune.runs.run import Run
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.training.in_run import fit_in
from autoprune.training.loop import Diverged, FitConfig, OnEpoch, fit
from autoprune.training.matching import Matching, points

PACE: Final = "match.json"
"""Artifact that holds the number of steps, so that a killed run goes on to the same end."""

RECIPE: Final = FitConfig(optimizer="adamw", learning_rate=3e-3, weight_decay=1e-2)
"""Recipe of a matching: the compact network is near the dense one, and is to stay near."""

HELD: Final = 0.1
"""Share of the samples that is held out, to choose the best weights by."""

TIMED: Final = 4
"""Steps by which the pace is measured, after one that is not counted."""


@dataclass(frozen=True)
class Lesson:
    """What a compact network is to learn, from which samples, and for how long.

    ``samples``: shuffled. ``asked``: minutes or steps, as ``--match`` takes them.
    """

    matching: Matching
    teacher: nn.Module
    task: Task
    samples: Samples
    asked: str
    seed: int
    masks: Masks = field(default_factory=dict)


def match(
    session: PruningSession,
    pruned: nn.Module,
    teacher: nn.Module,
    plan: Plan,
    ranking: Ranking,
    masks: Masks,
    name: str = "match",
) -> nn.Module | None:
    """Return a copy of a pruned network whose values were matched to the dense one's.

    None where no matching was asked for. No label is read. The weights of least loss on the samples
    that were held out are kept, those before included.
    """
    asked, inputs, seeds = session.config.match, session.inputs, session.seeds
    if asked is None:
        return None
    kept = {} if session.units.granularity.masked else ranking.kept(plan)
    places = points(session.structure, Slicer(teacher, session.structure), kept, pruned)
    matching, config = Matching(teacher, inputs.task, places), session.config
    samples = unlabeled(
        config.unlabeled, config.resize, inputs.data, inputs.task, seeds.calibration
    )
    lesson = Lesson(matching, teacher, inputs.task, samples, asked, seeds.training, masks)
    curves = session.curves
    model, _ = learned(
        lesson,
        pruned,
        session.run,
        session.progress,
        name,
        lambda number, _, loss: curves.training(name, number, loss),
    )
    return model


def learned(
    lesson: Lesson,
    pruned: nn.Module,
    run: Run,
    progress: Progress,
    name: str = "match",
    on_epoch: OnEpoch | None = None,
) -> tuple[nn.Module, int]:
    """Return a copy of a pruned network that learned a lesson, and the number of steps."""
    model = copy.deepcopy(pruned)
    samples = lesson.samples.to(device_of(model))
    held = max(1, round(HELD * len(samples)))
    taught, kept_out = samples.part(held, len(samples)), samples.part(0, held)
    config = replace(RECIPE, batch_size=min(RECIPE.batch_size, len(taught)), seed=lesson.seed)
    config = replace(config, steps=_steps(lesson, run, model, taught, config))
    batches = Batches(kept_out, 128, model, Form())
    with thawed(model):
        try:
            trained = fit_in(
                run,
                progress,
                name,
                model,
                taught,
                lesson.task,
                config,
                teacher=lesson.teacher,
                lesson=lesson.matching,
                masks=lesson.masks,
                on_epoch=on_epoch,
                validate=lambda network: lesson.matching.mean(network, batches),
            )
        except Diverged as error:
            run.warnings.append(f"matching stopped early: {error.args[0]}")
            return model, config.steps or 0
    run.warnings.extend(trained.selected.remarks("matching") if trained.selected else ())
    return model, config.steps or 0


def unlabeled(spec: str | None, resize: int | None, data: Data, task: Task, seed: int) -> Samples:
    """Return the samples to match on, shuffled: by default those of training.

    Raises UsageError for samples that the network does not take.
    """
    if spec is None:
        found = data.train.take(len(data.train), seed)
    else:
        given = load_data(spec, resize=resize).train
        shapes = [_shapes(task, split) for split in (given, data.train)]
        if shapes[0] != shapes[1]:
            raise UsageError(
                f"an unlabeled sample has the shape {shapes[0]}, one of {data.name} {shapes[1]}",
                "--resize N brings images to one size",
            )
        found = given.take(len(given), seed)
    if len(found) < 2:
        raise UsageError("matching needs two samples at least", "--unlabeled names more of them")
    return found


def _shapes(task: Task, split: Samples) -> str:
    """Shapes of the inputs that a task finds in a sample."""
    with blamed(f"task {task.name!r} finds no inputs in a sample of {split.name}"):
        inputs = arguments(task, next(split.take(1).batches(1)))
    return " and ".join(str(list(leaf.shape[1:])) for leaf in tree_leaves(inputs))


def _steps(lesson: Lesson, run: Run, model: nn.Module, samples: Samples, config: FitConfig) -> int:
    """Return the number of steps: as asked, or as many as fit into the minutes, measured once."""
    if lesson.asked.endswith("steps"):
        return int(lesson.asked.removesuffix("steps"))
    if not run.artifacts.intact(PACE):
        twin = copy.deepcopy(model)
        began = 0.0

        def after(step: int, *_: object) -> None:
            nonlocal began
            began = began or time.monotonic()

        fit(
            twin,
            samples,
            lesson.task,
            replace(config, steps=1 + TIMED),
            teacher=lesson.teacher,
            lesson=lesson.matching,
            on_step=after,
        )
        seconds = (time.monotonic() - began) / TIMED
        run.publish_json(PACE, {"steps": max(1, round(60 * float(lesson.asked) / seconds))})
    return int(run.artifacts.json(PACE)["steps"])
