"""Preparation of ``autoprune ticket``: the study that a configuration asks for, fully checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.studies.continual import Continual, week_splits
from autoprune.commands.ticket.studies.early import Early
from autoprune.commands.ticket.studies.iterative import CONTROLS, Iterative, MagnitudePruning
from autoprune.commands.ticket.studies.retrain import Retraining
from autoprune.commands.ticket.studies.search_run import SearchRun, read_search
from autoprune.commands.ticket.studies.study import Study
from autoprune.commands.ticket.studies.transfer import Transfer
from autoprune.commands.ticket.training.experiment import TWIN, Experiment
from autoprune.commands.ticket.training.length import iterations
from autoprune.commands.ticket.training.recipe import recipe
from autoprune.commands.ticket.training.trial import Splits
from autoprune.data import Data, Samples, load_data
from autoprune.data.named_task import resolve_task, weighed
from autoprune.data.pooling import held_out, redrawn
from autoprune.errors import UsageError
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.execution import forward, mode, move
from autoprune.networks.spec import ModelSpec, model_spec
from autoprune.pipeline.inputs import resolve_device, tensors_hash, weights_hash


class StudyInputs(NamedTuple):
    """Inputs of a study: facts ``shown`` in its result, ``hashes`` of them, warnings.

    ``macs``: multiply-accumulates of the network per sample.
    """

    device: str
    macs: int
    shown: dict[str, Any]
    hashes: dict[str, str]
    remarks: tuple[str, ...]


def prepare(config: TicketConfig) -> tuple[Study, StudyInputs]:
    """Load network, data and task, and check that they fit together.

    Raises UsageError or DamagedError, in one line, for anything missing, damaged or mismatched.
    """
    search = None
    if config.run is not None:
        search = read_search(Path(config.run), config.initial, trust_code=config.trust_code)
    experiment = _experiment(config, config.data, search)
    study = _study(config, experiment, search)
    study.jobs()  # raises UsageError if the study cannot be carried out
    return study, _inputs(config, study, experiment, search)


def _study(config: TicketConfig, experiment: Experiment, search: SearchRun | None) -> Study:
    """Choose the study that the configuration asks for."""
    seeds = range(config.seed, config.seed + config.seeds)
    pruning = MagnitudePruning(config.rate, config.scope)
    if search:
        return Retraining(experiment, search, seeds)
    if config.early is not None:
        _check_early(config, experiment)
        return Early(experiment, pruning, config.levels, seeds, config.early_names)
    controls = (*CONTROLS, TWIN) if config.barrier else CONTROLS
    study = Iterative(experiment, pruning, config.levels, seeds, config.one_shot, controls)
    if config.transfer_to is not None:
        bare = replace(study, controls=())
        source = replace(bare, prefix="source/")
        own = replace(bare, experiment=_experiment(config, config.transfer_to), prefix="own/")
        return Transfer(source, own)
    if config.weeks is not None:
        first = replace(experiment, splits=week_splits(experiment, 1, config.weeks))
        return Continual(experiment, replace(study, experiment=first, controls=()), config.weeks)
    return study


def _experiment(
    config: TicketConfig, data_name: str, search: SearchRun | None = None
) -> Experiment:
    device = resolve_device(config.device)
    named = search.config if search else config
    data = load_data(search.config.data if search else data_name, named.seed, named.resize)
    task = weighed(resolve_task(named.task), data.train)
    spec = search.spec if search else model_spec(str(config.model), data)
    splits = splits_of(data, device, config.split_seed)
    samples = len(splits.train) // (config.weeks or 1)
    fit = recipe(config, spec.factory, samples)
    rewind = config.rewind_iterations(fit.epoch(samples))
    experiment = Experiment(spec, data, splits, task, device, fit, rewind)
    replace(fit, first=rewind).length(samples)
    check_compatible(experiment.network(config.seed), data, task)
    return experiment


def splits_of(data: Data, device: torch.device, seed: int | None = None) -> Splits:
    """Return the splits: training, all that is held out for validation, and test.

    With ``seed``, as many samples as the data hold out are drawn again.
    """
    validation: Samples = held_out(data)
    train = data.train
    if seed is not None:
        train, validation = redrawn(data, seed)
    return Splits(*(split.to(device) for split in (train, validation, data.test)))


def _check_early(config: TicketConfig, experiment: Experiment) -> None:
    epoch = experiment.recipe.epoch(len(experiment.splits.train))
    for name in config.early_names:
        at = iterations(name, epoch)
        if at is not None and not 0 < at <= experiment.steps:
            raise UsageError(
                f"--early {name} is iteration {at}, but a training has {experiment.steps}",
                "name iterations within it; magnitude draws before the first",
            )


def _inputs(
    config: TicketConfig, study: Study, experiment: Experiment, search: SearchRun | None
) -> StudyInputs:
    spec: ModelSpec = experiment.spec
    shown = {
        "model": spec.factory,
        "data": search.config.data if search else config.data,
        "iterations": experiment.steps,
        "rewind": experiment.rewind,
    }
    hashes = {"data": experiment.data.fingerprint}
    if isinstance(study, Transfer):
        shown |= {"transfer_to": config.transfer_to, "iterations": study.experiment.steps}
        hashes["transfer_to"] = study.experiment.data.fingerprint
    if search:
        hashes |= {"mask": tensors_hash(search.masks), "initial": tensors_hash(search.initial)}
    else:
        hashes["network"] = weights_hash(experiment.network(config.seed))
    macs = _macs(experiment, config.seed)
    return StudyInputs(experiment.device.type, macs, shown, hashes, experiment.data.remarks)


def _macs(experiment: Experiment, seed: int) -> int:
    """Count the multiply-accumulates of the network for one sample, in a forward pass."""
    model, batch = experiment.network(seed), next(experiment.data.train.take(1).batches(1))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), mode(model, train=False):
        forward(model, experiment.task, move(batch, experiment.device))
    return int(counter.get_total_flops()) // 2
