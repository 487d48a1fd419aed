"""Trial: one training of one network, monitored on validation data and tested at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from autoprune.commands.ticket.jobs import Job, Record, Tick
from autoprune.commands.ticket.training.monitor import (
    Monitor,
    MonitoredCheckpoint,
    Observer,
    copied,
)
from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.foundation.schema import decode_fields, encode_fields
from autoprune.networks.score import measure
from autoprune.training.checkpoint import Checkpoint
from autoprune.training.config import FitConfig
from autoprune.training.loop import fit

REPORTED = (100, 300, 1000, 3000)
"""Iterations after which the test accuracy is reported, if the training lasts that long."""

INTERVAL = 100
"""Iterations between two validations; fewer in trainings shorter than 1,000."""


@dataclass(frozen=True)
class TicketTrial:
    """Figures of one training.

    ``accuracy`` is the test accuracy at the end; ``early_stop`` the iteration of the least
    validation loss and ``accuracy_early_stop`` the test accuracy then; ``accuracy_at`` the test
    accuracy by iteration; ``curve`` holds (iteration, validation loss, validation accuracy).
    """

    accuracy: float
    early_stop: int
    accuracy_early_stop: float
    accuracy_at: Mapping[str, float]
    curve: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)

    @classmethod
    def from_json(cls, data: object) -> TicketTrial:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        return cls(**decode_fields(cls, data, "a trial"))

    def record(self, job: Job, remaining: float) -> dict[str, Any]:
        """Return the record that the journal keeps of a job."""
        return {
            "mask": job.mask,
            "seed": job.seed,
            "kind": job.kind,
            "remaining": remaining,
            "trial": self.to_json(),
        }


def trial_of(record: Record) -> TicketTrial:
    """Read the trial of a record of the journal."""
    return TicketTrial.from_json(record["trial"])


class Splits(NamedTuple):
    """Splits to train on, to monitor, and to test on at the end."""

    train: Samples
    validation: Samples
    test: Samples


class TrialOutcome(NamedTuple):
    """Outcome of a training: its trial, and the weights after the requested iterations."""

    trial: TicketTrial
    kept: dict[int, dict[str, Tensor]]


def train(
    model: nn.Module,
    splits: Splits,
    task: Task,
    config: FitConfig,
    tick: Tick,
    *,
    masks: Mapping[str, Tensor] | None = None,
    keep: Collection[int] = (),
    also: Observer | None = None,
    checkpoint: Checkpoint | None = None,
    select: bool = False,
    loop: Callable[..., object] = fit,
) -> TrialOutcome:
    """Train ``model`` in place and monitor it.

    It is always trained to the end (as Frankle and Carbin 2019 do); the early-stop iteration is
    determined afterward. With ``select`` the weights of least validation loss are those at the
    end, as in every fine-tuning. ``loop`` is the training loop.
    """
    total = config.length(len(splits.train))
    reported = [step for step in REPORTED if config.first < step <= total]
    every = min(INTERVAL, max(1, total // 10))
    wanted = frozenset([*reported, *keep])
    monitor = Monitor(
        model,
        splits.validation,
        task,
        every,
        wanted,
        tick,
        config.precision,
        also,
        done=config.first,
    )
    monitored = MonitoredCheckpoint(checkpoint, monitor) if checkpoint else None
    validate = partial(_loss_on, splits.validation, task) if select else None
    loop(
        model,
        splits.train,
        task,
        config,
        masks=masks,
        on_step=monitor,
        checkpoint=monitored,
        validate=validate,
    )
    trial = _tested(model, monitor, reported, total, splits.test, task)
    return TrialOutcome(trial, {step: monitor.kept[step] for step in keep if step in monitor.kept})


def _tested(
    model: nn.Module,
    monitor: Monitor,
    reported: Collection[int],
    total: int,
    test: Samples,
    task: Task,
) -> TicketTrial:
    """Test the weights at the reported iterations, at the early stop and at the end."""
    final, best = copied(model), monitor.best[1]
    tested = {best: monitor.best_weights} | {step: monitor.kept[step] for step in reported}
    tested.pop(total, None)
    tested[total] = final  # last, so that these weights stay
    accuracies = {}
    for step, weights in tested.items():
        model.load_state_dict(weights, strict=False)
        accuracies[step] = measure(model, test, task).score
    return TicketTrial(
        accuracies[total],
        best,
        accuracies[best],
        {str(step): accuracies[step] for step in reported},
        tuple(monitor.curve),
    )


def _loss_on(split: Samples, task: Task, network: nn.Module) -> float:
    return measure(network, split, task).loss
