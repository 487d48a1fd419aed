"""What ``autoprune bench`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from autoprune.commands.bench.accuracy import Given, accuracies, given_networks
from autoprune.commands.bench.config import BenchConfig
from autoprune.commands.bench.plans import PLANS
from autoprune.commands.bench.row import REFERENCE_RATE, REFERENCES, Row, Try
from autoprune.commands.bench.running import Bed, attempt, example
from autoprune.cost.latency.cache import machine
from autoprune.cost.latency.deployed import few, quickest_form
from autoprune.data.task import Classification, Task
from autoprune.errors import UsageError
from autoprune.foundation.progress import Progress
from autoprune.networks import zoo
from autoprune.networks.execution import Form, keep_memory, move
from autoprune.pipeline.inputs import on_device, resolve_device
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan


@dataclass(frozen=True)
class Bench:
    """The rows, and what they were measured on."""

    rows: tuple[Row, ...]
    on: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {"rows": [row.to_json() for row in self.rows], "machine": dict(self.on)}


def run_bench(config: BenchConfig, progress: Progress) -> Bench:
    """Carry out ``autoprune bench``; raises AutopruneError for whatever a user can mend."""
    device = resolve_device(config.device)
    for name in config.models:
        zoo.find(name)
    keep_memory()
    given = given_networks(config.trained, device)
    for name in given.keys() - set(config.models):
        raise UsageError(f"a trained {name} was given, but it is not in the table", "--models it")
    rows = []
    for name in config.models:
        bed = _bed(name, config, given.get(name), device)
        with progress.phase(name, len(PLANS)) as phase:
            row, plan = _row(name, config, bed, device, phase.advance)
        rows.append(_scored(row, plan, config, bed, given.get(name), device, progress))
    return Bench(tuple(rows), machine(device, "torch"))


def _bed(name: str, config: BenchConfig, given: Given | None, device: torch.device) -> Bed:
    """Set up a network: the trained one on its data, or a fresh one on noise."""
    task: Task = Classification()
    if given is not None:
        model, task = given.model, given.task
        batch = move(next(given.data.train.batches(config.batch)), device)
        inputs = on_device(given.data.example(task), device)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = zoo.build(name).eval().to(device)
        batch = example(zoo.find(name).image_shape, config.batch, config.seed, device)
        inputs = few(batch)[0]
    return Bed(model, analyze(model, inputs), task, batch, quickest_form(model, task, batch))


def _row(
    name: str, config: BenchConfig, bed: Bed, device: torch.device, on_try: Any
) -> tuple[Row, Plan]:
    """Try plans in order until one reaches everything; the best of them makes the row."""
    reference = REFERENCES.get(name) if config.rate == REFERENCE_RATE else None
    goals = 3 if reference else 1
    tries: list[tuple[Try, Plan]] = []
    for kind, make in PLANS.items():
        plan = make(bed.structure, config.rate, device)
        found = attempt(kind, bed, plan)
        tries.append((found, plan))
        on_try()
        if found.met(reference) == goals:
            break
    best, plan = max(tries, key=lambda item: item[0].met(reference))
    row = Row(
        model=name,
        rate=config.rate,
        batch=config.batch,
        form=form_name(bed.form),
        best=best,
        tries=tuple(item for item, _ in tries),
        reference=reference,
    )
    return row, plan


def _scored(
    row: Row,
    plan: Plan,
    config: BenchConfig,
    bed: Bed,
    given: Given | None,
    device: torch.device,
    progress: Progress,
) -> Row:
    if given is None:
        return row
    before, after = accuracies(given, bed.structure, plan, config, device, progress)
    facts = {"metric": given.metric, "accuracy_before": before, "accuracy_after": after}
    return Row(**{**vars(row), **facts})


def form_name(form: Form) -> str:
    """Say in words how networks were run."""
    arithmetic = "bfloat16" if form.bfloat16 else "float32"
    return f"{arithmetic}, {'channels last' if form.channels_last else 'channels first'}"
