"""The phases of a search around the search itself: train and rank before, fine-tune after it."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from autoprune.agents import policy as policies
from autoprune.agents.policy import Policy
from autoprune.data import Split
from autoprune.data.task import Classification, Task
from autoprune.networks.save import state_tensors, write_tensors
from autoprune.networks.weights import BASE, INITIAL, initial_file
from autoprune.pipeline.session import Session
from autoprune.problem.evaluator import Evaluator
from autoprune.problem.granularity.masking import Masks
from autoprune.problem.problem import PruningProblem, error_statistics, weight_statistics
from autoprune.ranking import Ranking
from autoprune.runs.run import Run
from autoprune.structure.table import Structure
from autoprune.training.in_run import fit_in
from autoprune.training.loop import Diverged, FitConfig
from autoprune.training.recipes import softened

CALIBRATION = 1000
"""Training samples that rankings are computed on, and batch-norm statistics of final networks."""

RECALIBRATION = 64
"""Training samples that each evaluation moves batch-norm statistics by."""

TRAINING = FitConfig(epochs=20, batch_size=64)
"""How the embedded network is trained on the spot."""


def train(session: Session) -> nn.Module:
    """Return the trained dense network: as given, from the run, or trained now and stored there."""
    model = copy.deepcopy(session.inputs.model)
    run = session.run
    if session.inputs.trained:
        _adopt(session, model)
        return model
    if not run.artifacts.intact(INITIAL):
        run.publish(INITIAL, partial(write_tensors, tensors=state_tensors(model)))
    if run.artifacts.intact(BASE):
        model.load_state_dict(load_file(str(run.artifacts.file(BASE))), strict=False)
        return model
    _fit(session, "train", model, TRAINING)
    run.publish(BASE, partial(write_tensors, tensors=state_tensors(model)))
    return model


def _adopt(session: Session, model: nn.Module) -> None:
    """Keep what a ticket needs of weights that come from a run: those before and after training."""
    run, weights = session.run, session.config.weights
    initial = None if weights is None else initial_file(weights)
    if initial and not (run.artifacts.intact(INITIAL) and run.artifacts.intact(BASE)):
        run.publish(INITIAL, lambda path: _write(path, initial.read_bytes()))
        run.publish(BASE, partial(write_tensors, tensors=state_tensors(model)))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def pose(session: Session, model: nn.Module) -> PruningProblem:
    """Rank the units of the trained network and set up its evaluation."""
    grain, ranking = session.grain, order(session, model)
    if grain.granularity.masked:
        statistics = error_statistics(ranking.errors)
    else:
        statistics = weight_statistics(session.structure, dict(model.state_dict()))
    return PruningProblem(
        structure=grain.units,
        cost=session.cost,
        budget=session.budget,
        ranking=ranking,
        evaluate=evaluator(session, model, ranking, session.inputs.data.search),
        statistics=statistics,
    )


def order(session: Session, model: nn.Module, before: Masks | None = None) -> Ranking:
    """Rank the units of a network; what the masks ``before`` removed goes first."""
    config, inputs, grain = session.config, session.inputs, session.grain
    calibration = inputs.data.calibration(CALIBRATION, config.seed).to(inputs.device)
    with session.progress.phase("rank", len(grain.units.groups)) as phase:
        ranking = grain.rank(
            model,
            config.ranking,
            task=inputs.task,
            calibration=calibration,
            seed=config.seed,
            before=before,
        )
        phase.advance(len(grain.units.groups))
    return ranking


def evaluator(session: Session, model: nn.Module, ranking: Ranking, split: Split) -> Evaluator:
    """Return what scores plans of a network on a split."""
    return Evaluator(*evaluator_parts(session, model, ranking, split))


def evaluator_parts(
    session: Session, model: nn.Module, ranking: Ranking, split: Split
) -> tuple[nn.Module, Structure, Ranking, Task, Split, Split]:
    """Return what an Evaluator is made of, to make one here or in another process."""
    inputs = session.inputs
    calibration = inputs.data.calibration(RECALIBRATION, session.config.seed)
    return (
        model,
        session.structure,
        ranking,
        inputs.task,
        split.to(inputs.device),
        calibration.to(inputs.device),
    )


def keep_policy(run: Run, policy: Policy) -> None:
    """Store a policy in a run."""
    content = policy.to_safetensors()
    run.publish(policies.WEIGHTS, lambda path: _write(path, content))
    run.publish_json(policies.DESCRIPTION, policy.to_json())


def recover(
    session: Session,
    pruned: nn.Module,
    teacher: nn.Module,
    name: str = "finetune",
    masks: Masks | None = None,
) -> nn.Module:
    """Return a fine-tuned copy of a pruned network, taught by the dense one.

    ``name`` tells the fine-tunings of a run apart. What ``masks`` removed stays exactly zero.
    """
    model = copy.deepcopy(pruned).requires_grad_(True)
    if session.config.finetune_epochs:
        config = softened(model, len(session.inputs.data.train))
        config = replace(config, epochs=session.config.finetune_epochs)
        if not isinstance(session.inputs.task, Classification):
            config = replace(config, distill=0.0)  # softened classes mean nothing to other tasks
        try:
            _fit(session, name, model, config, teacher, masks)
        except Diverged as error:  # a search's worth of work must not end in nothing
            session.run.warnings.append(f"fine-tuning stopped early: {error.args[0]}")
    return model


def _fit(
    session: Session,
    name: str,
    model: nn.Module,
    config: FitConfig,
    teacher: nn.Module | None = None,
    masks: Masks | None = None,
) -> None:
    inputs = session.inputs
    fit_in(
        session.run,
        session.progress,
        name,
        model,
        inputs.data.train.to(inputs.device),
        inputs.task,
        replace(config, seed=session.config.seed),
        teacher=teacher,
        masks=masks,
        on_epoch=lambda done, _, loss: session.curves.training(name, done, loss),
    )
