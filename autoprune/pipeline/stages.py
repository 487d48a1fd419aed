"""Stages around the search: train and rank before it, fine-tune after it."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from autoprune.agents import policy_format
from autoprune.agents.policy import Policy
from autoprune.data import Samples
from autoprune.networks.frozen import THAWED, thawed
from autoprune.networks.save import state_tensors, write_tensors
from autoprune.networks.score import measure
from autoprune.networks.weights import BASE, INITIAL, initial_file
from autoprune.pipeline.callbacks import Callbacks
from autoprune.pipeline.finalists import quick_builder
from autoprune.pipeline.own_stages import OwnScorer, finetuned_by
from autoprune.pipeline.session import PruningSession
from autoprune.problem.evaluator import Evaluator, EvaluatorParts
from autoprune.problem.granularity.masking import Masks
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import Scorer
from autoprune.problem.statistics import error_statistics, weight_statistics
from autoprune.ranking.ordering import Ranking
from autoprune.runs.run import Run
from autoprune.training.distillation import teachable
from autoprune.training.in_run import fit_in
from autoprune.training.loop import Diverged, FitConfig
from autoprune.training.recipes import softened
from autoprune.training.selection import Selected

_LABELS = {
    "finetune": "fine-tuning",
    "finetune-plain": "fine-tuning of the baseline",
    "finetune-dense": "fine-tuning of the dense network",
}
"""Names of fine-tunings, for messages."""


def train(session: PruningSession) -> nn.Module:
    """Trained dense network: as given, from the run, or trained now and stored there."""
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
    _fit(session, "train", model, session.tuning.training)
    run.publish(BASE, partial(write_tensors, tensors=state_tensors(model)))
    return model


def _adopt(session: PruningSession, model: nn.Module) -> None:
    """Keep the weights before and after training that a ticket needs, if they come from a run."""
    run, weights = session.run, session.config.weights
    initial = None if weights is None else initial_file(weights)
    if initial and not (run.artifacts.intact(INITIAL) and run.artifacts.intact(BASE)):
        run.publish(INITIAL, lambda path: _write(path, initial.read_bytes()))
        run.publish(BASE, partial(write_tensors, tensors=state_tensors(model)))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def pose(session: PruningSession, model: nn.Module) -> PruningProblem:
    """Rank the units of the trained network and set up its evaluation."""
    units, ranking = session.units, rank_units(session, model)
    if units.granularity.masked:
        statistics = error_statistics(ranking.errors)
    else:
        statistics = weight_statistics(session.structure, dict(model.state_dict()))
    return PruningProblem(
        structure=units.decisions,
        cost=session.cost,
        budget=session.budget,
        ranking=ranking,
        scorer=_scorer(session, model, ranking),
        statistics=statistics,
    )


def _scorer(session: PruningSession, model: nn.Module, ranking: Ranking) -> Scorer:
    """Scorer on the search split, or by the caller's function."""
    if session.own.evaluate is None:
        return Evaluator(evaluator_parts(session, model, ranking, session.inputs.search))
    build = quick_builder(session, model, ranking, session.tuning.samples.evaluation)
    return OwnScorer(build, session.own.evaluate, session.seeds.searcher)


def rank_units(session: PruningSession, model: nn.Module, before: Masks | None = None) -> Ranking:
    """Rank the units of a network; units that the masks ``before`` removed go first."""
    seeds, inputs, groups = session.seeds, session.inputs, len(session.units.decisions.groups)
    with session.progress.phase("rank", groups) as phase:
        ranking = session.units.rank(
            model,
            session.config.ranking,
            task=inputs.task,
            calibration=inputs.calibration(session.tuning.samples.ranking, seeds),
            seed=seeds.calibration,
            before=before,
        )
        phase.advance(groups)
    return ranking


def evaluator_parts(
    session: PruningSession, model: nn.Module, ranking: Ranking, split: Samples
) -> EvaluatorParts:
    """Parts of an evaluator that scores plans of a network on a split."""
    inputs, tuning = session.inputs, session.tuning
    fit = tuning.fit if ranking.branches and ranking.repairs else None
    count = fit.samples if fit else tuning.samples.evaluation
    return EvaluatorParts(
        model,
        session.structure,
        ranking,
        inputs.task,
        split,
        inputs.calibration(count, session.seeds),
        tuning.racing,
        fit.reconstruction if fit else None,
    )


def keep_policy(run: Run, policy: Policy) -> None:
    """Store a policy in a run."""
    content = policy.to_safetensors()
    run.publish(policy_format.WEIGHTS, lambda path: _write(path, content))
    run.publish_json(policy_format.DESCRIPTION, policy.to_json())


def finetune(
    session: PruningSession,
    pruned: nn.Module,
    teacher: nn.Module,
    name: str = "finetune",
    masks: Masks | None = None,
    part: tuple[int, int] | None = None,
) -> nn.Module:
    """Return a fine-tuned copy of a pruned network, taught by the dense one; itself for 0 epochs.

    ``name`` tells the fine-tunings of a run apart. What ``masks`` removed stays exactly zero.
    ``part``: the round of a gradual pruning, and how many there are; the best weights on validation
    data are chosen in the last one only.
    """
    if not session.config.finetune_epochs:
        return pruned
    model, warnings = copy.deepcopy(pruned), session.run.warnings
    if session.own.finetune is not None:
        train, held = session.inputs.train, session.inputs.validation
        return finetuned_by(session.own.finetune, model, train, held, session.seeds.training, masks)
    config = session.tuning.finetuning or softened(
        model, len(session.inputs.data.train), session.config.finetune_epochs
    )
    config = replace(config, epochs=session.config.finetune_epochs)
    chosen = part is None or part[0] == part[1]
    if part is not None:
        config = config.part(*part, len(session.inputs.train))
    if not teachable(session.inputs.task):
        config = replace(config, distill=0.0)  # softened classes mean nothing to it
    number = name.removeprefix("finetune-")
    label = f"fine-tuning of round {number}" if number.isdecimal() else _LABELS.get(name, name)
    with thawed(model) as all_frozen:
        if all_frozen and THAWED not in warnings:
            warnings.append(THAWED)
        try:
            selected = _fit(session, name, model, config, teacher, masks, select=chosen)
        except Diverged as error:  # a search's worth of work must not end in nothing
            warnings.append(f"{label} stopped early: {error.args[0]}")
            return model
    warnings.extend(selected.remarks(label) if selected else ())
    return model


def _fit(
    session: PruningSession,
    name: str,
    model: nn.Module,
    config: FitConfig,
    teacher: nn.Module | None = None,
    masks: Masks | None = None,
    *,
    select: bool = False,
) -> Selected | None:
    """Train in the run; ``select`` the best weights on validation data."""
    inputs = session.inputs
    validation = inputs.validation
    callbacks = Callbacks(session.own.callbacks, session.run.path)

    def validate(network: nn.Module) -> float:
        return measure(network, validation, inputs.task).loss

    def after(number: int, epochs: int, loss: float) -> None:
        session.curves.training(name, number, loss)
        callbacks.epoch(name, number, epochs, loss)

    trained = fit_in(
        session.run,
        session.progress,
        name,
        model,
        inputs.train,
        inputs.task,
        replace(config, seed=session.seeds.training),
        teacher=teacher,
        masks=masks,
        on_epoch=after,
        validate=validate if select else None,
    )
    return trained.selected
