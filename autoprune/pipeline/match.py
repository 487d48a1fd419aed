"""Stage of feature matching: between the closed-form repair and fine-tuning, without labels."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Final

from torch import nn
from torch.utils._pytree import tree_leaves

from autoprune.data import Samples, load_data
from autoprune.data.task import Task, arguments
from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form
from autoprune.networks.frozen import thawed
from autoprune.pipeline.session import PruningSession
from autoprune.problem.granularity.masking import Masks
from autoprune.ranking.ordering import Ranking
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.training.in_run import fit_in
from autoprune.training.loop import Diverged, FitConfig, fit
from autoprune.training.matching import Matching, points

PACE: Final = "match.json"
"""Artifact that holds the number of steps, so that a killed run goes on to the same end."""

RECIPE: Final = FitConfig(optimizer="adamw", learning_rate=3e-3, weight_decay=1e-2)
"""Recipe of a matching: the compact network is near the dense one, and is to stay near."""

HELD: Final = 0.1
"""Share of the samples that is held out, to choose the best weights by."""

TIMED: Final = 4
"""Steps by which the pace is measured, after one that is not counted."""


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
    if session.config.match is None:
        return None
    model, inputs, warnings = copy.deepcopy(pruned), session.inputs, session.run.warnings
    kept = {} if session.units.granularity.masked else ranking.kept(plan)
    slicer = Slicer(teacher, session.structure)
    lesson = Matching(teacher, inputs.task, points(session.structure, slicer, kept, model))
    samples = unlabeled(session)
    held = max(1, round(HELD * len(samples)))
    learned, kept_out = samples.part(held, len(samples)), samples.part(0, held)
    config = replace(RECIPE, batch_size=min(RECIPE.batch_size, len(learned)))
    config = replace(config, steps=_steps(session, model, teacher, lesson, learned, config))
    batches = Batches(kept_out, 128, model, Form())
    with thawed(model):
        try:
            trained = fit_in(
                session.run,
                session.progress,
                name,
                model,
                learned,
                inputs.task,
                replace(config, seed=session.seeds.training),
                teacher=teacher,
                lesson=lesson,
                masks=masks,
                on_epoch=lambda number, _, loss: session.curves.training(name, number, loss),
                validate=lambda network: lesson.mean(network, batches),
            )
        except Diverged as error:
            warnings.append(f"matching stopped early: {error.args[0]}")
            return model
    warnings.extend(trained.selected.remarks("matching") if trained.selected else ())
    return model


def unlabeled(session: PruningSession) -> Samples:
    """Return the samples to match on, shuffled, on the device.

    Raises UsageError for samples that the network does not take.
    """
    config, inputs = session.config, session.inputs
    if config.unlabeled is None:
        found = inputs.train.take(len(inputs.train), session.seeds.calibration)
    else:
        given = load_data(config.unlabeled, resize=config.resize).train
        shapes = [_shapes(inputs.task, split) for split in (given, inputs.train)]
        if shapes[0] != shapes[1]:
            raise UsageError(
                f"an unlabeled sample has the shape {shapes[0]}, one of {inputs.data.name}"
                f" {shapes[1]}",
                "--resize N brings images to one size",
            )
        found = given.to(inputs.device).take(len(given), session.seeds.calibration)
    if len(found) < 2:
        raise UsageError("matching needs two samples at least", "--unlabeled names more of them")
    return found


def _shapes(task: Task, split: Samples) -> str:
    """Shapes of the inputs that a task finds in a sample."""
    with blamed(f"task {task.name!r} finds no inputs in a sample of {split.name}"):
        inputs = arguments(task, next(split.take(1).batches(1)))
    return " and ".join(str(list(leaf.shape[1:])) for leaf in tree_leaves(inputs))


def _steps(
    session: PruningSession,
    model: nn.Module,
    teacher: nn.Module,
    lesson: Matching,
    samples: Samples,
    config: FitConfig,
) -> int:
    """Return the number of steps: as asked, or as many as fit into the minutes, measured once."""
    asked = session.config.match or ""
    if asked.endswith("steps"):
        return int(asked.removesuffix("steps"))
    run = session.run
    if not run.artifacts.intact(PACE):
        twin = copy.deepcopy(model)
        began = 0.0

        def after(step: int, *_: object) -> None:
            nonlocal began
            began = began or time.monotonic()

        short = replace(config, steps=1 + TIMED)
        fit(
            twin, samples, session.inputs.task, short, teacher=teacher, lesson=lesson, on_step=after
        )
        seconds = (time.monotonic() - began) / TIMED
        run.publish_json(PACE, {"steps": max(1, round(60 * float(asked) / seconds))})
    return int(run.artifacts.json(PACE)["steps"])
