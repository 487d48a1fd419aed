"""Entry of ``autoprune bench``: the table, measured and written to a directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from autoprune.commands.bench.accuracy import TrainedNetwork, accuracies, trained_networks
from autoprune.commands.bench.config import BenchConfig
from autoprune.commands.bench.plans import PLANS
from autoprune.commands.bench.result import REFERENCE_RATE, REFERENCES, Bench, PlanFigures, Row
from autoprune.commands.bench.timing import TimedNetwork, noise, time_plan
from autoprune.commands.bench.view import bench_figure, bench_markdown
from autoprune.cost.latency.cache import machine
from autoprune.cost.latency.deployed import few, quickest_form
from autoprune.data.classification import Classification
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.foundation.charts import save
from autoprune.foundation.files import pretty, replace_text, writing
from autoprune.foundation.progress import Progress
from autoprune.networks import zoo
from autoprune.networks.execution import Form, keep_memory, move
from autoprune.pipeline.inputs import on_device, resolve_device
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan


def run_bench(config: BenchConfig, progress: Progress) -> Bench:
    """Carry out ``autoprune bench``; raises AutopruneError for errors that a user can fix."""
    bench = measure_bench(config, progress)
    write_bench(bench, config.path)
    return bench


def measure_bench(config: BenchConfig, progress: Progress) -> Bench:
    """Measure all networks of the table."""
    device = resolve_device(config.device)
    for name in config.models:
        zoo.find(name)
    keep_memory()
    trained = trained_networks(config.trained, device)
    for name in trained.keys() - set(config.models):
        raise UsageError(f"a trained {name} was given, but it is not in the table", "--models it")
    rows = []
    for name in config.models:
        dense = _timed_network(name, config, trained.get(name), device)
        with progress.phase(name, len(PLANS)) as phase:
            row, plan = _row(name, config, dense, device, phase.advance)
        if name in trained:
            before, after = accuracies(
                trained[name], dense.structure, plan, config, device, progress
            )
            metric = trained[name].metric
            row = replace(row, metric=metric, accuracy_before=before, accuracy_after=after)
        rows.append(row)
    return Bench(tuple(rows), machine(device, "torch"))


def write_bench(bench: Bench, path: Path) -> None:
    """Write ``bench.json``, ``bench.md`` and ``bench.svg`` to a directory."""
    facts = bench.to_json()
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        replace_text(path / "bench.json", pretty(facts))
        replace_text(path / "bench.md", bench_markdown(facts))
        save(bench_figure(facts), path / "bench.svg")


def _timed_network(
    name: str, config: BenchConfig, trained: TrainedNetwork | None, device: torch.device
) -> TimedNetwork:
    """Set up a network: the trained one on its data, or a fresh one on noise."""
    task: Task = Classification()
    if trained is not None:
        model, task = trained.model, trained.task
        batch = move(next(trained.data.train.batches(config.batch)), device)
        inputs = on_device(trained.data.example(task), device)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = zoo.build(name).eval().to(device)
        batch = noise(zoo.find(name).image_shape, config.batch, config.seed, device)
        inputs = few(batch)[0]
    form = quickest_form(model, task, batch)
    return TimedNetwork(model, analyze(model, inputs), task, batch, form)


def _row(
    name: str,
    config: BenchConfig,
    dense: TimedNetwork,
    device: torch.device,
    on_plan: Callable[[], None],
) -> tuple[Row, Plan]:
    """Try plans in order until one meets all aims; the best of them makes the row."""
    reference = REFERENCES.get(name) if config.rate == REFERENCE_RATE else None
    aims = 3 if reference else 1
    tried: list[tuple[PlanFigures, Plan]] = []
    for kind, make in PLANS.items():
        plan = make(dense.structure, config.rate, device)
        figures = time_plan(kind, dense, plan)
        tried.append((figures, plan))
        on_plan()
        if figures.met(reference) == aims:
            break
    best, plan = max(tried, key=lambda pair: pair[0].met(reference))
    row = Row(
        model=name,
        rate=config.rate,
        batch=config.batch,
        form=form_name(dense.form),
        best=best,
        tries=tuple(figures for figures, _ in tried),
        reference=reference,
    )
    return row, plan


def form_name(form: Form) -> str:
    """Return in words the arithmetic and the memory layout that networks ran in."""
    arithmetic = "bfloat16" if form.bfloat16 else "float32"
    return f"{arithmetic}, {'channels last' if form.channels_last else 'channels first'}"
