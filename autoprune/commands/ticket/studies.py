"""From the configuration of ``autoprune ticket`` to a study, checked before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_map

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.continual import Weekly, weekly
from autoprune.commands.ticket.early import Early
from autoprune.commands.ticket.experiment import TWIN, Setting
from autoprune.commands.ticket.iterative import CONTROLS, Iterative, Pruning
from autoprune.commands.ticket.length import iterations
from autoprune.commands.ticket.recipe import recipe
from autoprune.commands.ticket.retrain import Retraining
from autoprune.commands.ticket.search_run import Source, read_source
from autoprune.commands.ticket.study import Study
from autoprune.commands.ticket.transfer import Transfer
from autoprune.commands.ticket.trial import Splits
from autoprune.data import Data, Split, load_data
from autoprune.data.task import resolve_task
from autoprune.errors import UsageError
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.spec import ModelSpec, model_spec
from autoprune.pipeline.inputs import resolve_device, tensors_hash, weights_hash


class Facts(NamedTuple):
    """What a run rests on: shown in its result, and hashed so that nothing changes unnoticed."""

    device: str
    shown: dict[str, Any]
    hashes: dict[str, str]


def prepare(config: TicketConfig) -> tuple[Study, Facts]:
    """Load network, data and task and see whether they fit together.

    Raises UsageError or DamagedError, in one line, for anything missing, damaged or mismatched.
    """
    source = None
    if config.run is not None:
        source = read_source(Path(config.run), config.initial, trust_code=config.trust_code)
    setting = _setting(config, config.data, source)
    study = _study(config, setting, source)
    study.jobs()  # what cannot be carried out is refused here
    return study, _facts(config, study, setting, source)


def _study(config: TicketConfig, setting: Setting, source: Source | None) -> Study:
    """Choose what is asked."""
    seeds = range(config.seed, config.seed + config.seeds)
    pruning = Pruning(config.rate, config.scope)
    if source:
        return Retraining(setting, source, seeds)
    if config.early is not None:
        _check_early(config, setting)
        return Early(setting, pruning, config.levels, seeds, config.early_names)
    controls = (*CONTROLS, TWIN) if config.barrier else CONTROLS
    study = Iterative(setting, pruning, config.levels, seeds, config.one_shot, controls)
    if config.transfer_to is not None:
        bare = replace(study, controls=())
        there = replace(bare, prefix="source/")
        own = replace(bare, setting=_setting(config, config.transfer_to), prefix="own/")
        return Transfer(there, own)
    if config.weeks is not None:
        first = replace(setting, splits=weekly(setting, 1, config.weeks))
        return Weekly(setting, replace(study, setting=first, controls=()), config.weeks)
    return study


def _setting(config: TicketConfig, data_name: str, source: Source | None = None) -> Setting:
    device = resolve_device(config.device)
    named = source.config if source else config
    data = load_data(source.config.data if source else data_name, named.seed)
    task = resolve_task(named.task)
    spec = source.spec if source else model_spec(str(config.model), data)
    splits = splits_of(data, device, config.split_seed)
    samples = len(splits.train) // (config.weeks or 1)
    fit = recipe(config, spec.factory, samples)
    rewind = config.rewind_iterations(fit.epoch(samples))
    setting = Setting(spec, data, splits, task, device, fit, rewind)
    replace(fit, first=rewind).length(samples)
    check_compatible(setting.network(config.seed), data, task)
    return setting


def splits_of(data: Data, device: torch.device, seed: int | None = None) -> Splits:
    """Return what to train on, all that is held out to watch, and the test split.

    With ``seed``, as many samples as the data hold out are drawn anew.
    """
    held = tree_map(lambda *parts: torch.cat(parts), data.search.content, data.validation.content)
    validation, train = Split(held, data.validation.form, "validation"), data.train
    if seed is not None:
        both = tree_map(lambda *parts: torch.cat(parts), train.content, held)
        pool = Split(both, train.form, "train").take(len(train) + len(validation), seed)
        train = pool.part(0, len(data.train))
        validation = replace(pool.part(len(train), len(pool)), name="validation")
    return Splits(*(split.to(device) for split in (train, validation, data.test)))


def _check_early(config: TicketConfig, setting: Setting) -> None:
    epoch = setting.fit.epoch(len(setting.splits.train))
    for name in config.early_names:
        at = iterations(name, epoch)
        if at is not None and not 0 < at <= setting.steps:
            raise UsageError(
                f"--early {name} is iteration {at}, but a training has {setting.steps}",
                "name iterations within it; magnitude draws before the first",
            )


def _facts(config: TicketConfig, study: Study, setting: Setting, source: Source | None) -> Facts:
    spec: ModelSpec = setting.spec
    shown = {
        "model": spec.factory,
        "data": source.config.data if source else config.data,
        "iterations": setting.steps,
        "rewind": setting.rewind,
    }
    hashes = {"data": setting.data.fingerprint}
    if isinstance(study, Transfer):
        shown |= {"transfer_to": config.transfer_to, "iterations": study.setting.steps}
        hashes["transfer_to"] = study.setting.data.fingerprint
    if source:
        hashes |= {"mask": tensors_hash(source.masks), "initial": tensors_hash(source.initial)}
    else:
        hashes["network"] = weights_hash(setting.network(config.seed))
    return Facts(setting.device.type, shown, hashes)
