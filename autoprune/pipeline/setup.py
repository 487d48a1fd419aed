"""Setup of a network for pruning: structure, latency, units and the bound budget."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.budget import Budget
from autoprune.cost.choices import allowed_counts
from autoprune.cost.latency import LatencyModel, Survey, finer, portable_steps, width_steps
from autoprune.cost.latency.disturbance import watched
from autoprune.cost.model import CostModel
from autoprune.errors import InfeasibleError
from autoprune.foundation.progress import Progress
from autoprune.networks.analysis import analyze_for
from autoprune.networks.threads import suitable_threads, threads
from autoprune.pipeline.config import PruningConfig
from autoprune.pipeline.inputs import Inputs
from autoprune.problem.floors import floors
from autoprune.problem.granularity.parse import CHANNEL, Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.runs.artifacts import Artifacts
from autoprune.structure.depth import deepened
from autoprune.structure.table import Structure

LATENCY = "latency.json"


@dataclass(frozen=True)
class Setup:
    """A network with its units and costs at one granularity, and the budget bound to it.

    ``latency`` is None where no limit is on it.
    """

    inputs: Inputs
    units: PruningUnits
    budget: BoundBudget
    latency: LatencyModel | None


def set_up(inputs: Inputs, config: PruningConfig, budget: Budget, progress: Progress) -> Setup:
    """Analyze a network and bind a budget to it, before any training.

    Raises UsageError for a network in which nothing can be pruned or a budget that makes no sense,
    InfeasibleError for one out of reach.
    """
    units, latency = price(inputs, config, budget, progress)
    bound = bind_budget(budget, config, units.cost, inputs.device)
    if config.align is None and max(bound.steps, default=1) > 1:
        progress.note(_steps_note(bound))
    return Setup(inputs, units, bound, latency)


def _steps_note(budget: BoundBudget) -> str:
    """Say in which steps a budget is spent, and what of it they may leave."""
    *others, last = map(str, sorted({step for step in budget.steps if step > 1}))
    numbers = f"{', '.join(others)} or {last}" if others else last
    return (
        f"widths are multiples of {numbers}; a step costs at most {100 * budget.quantum:.2g} % of"
        " dense, and so much of the budget may be left (--align 1 allows every width)"
    )


def price(
    inputs: Inputs, config: PruningConfig, budget: Budget, progress: Progress
) -> tuple[PruningUnits, LatencyModel | None]:
    """Analyze a network and count the costs of its units; latency only where it is limited.

    Raises UsageError for a network in which nothing can be pruned.
    """
    with progress.phase("inspect", 1) as phase:
        structure = analyze_for(
            inputs.task, inputs.model, inputs.example, config.outputs, config.sizes
        )
        if _decides_branches(config, budget):
            structure = deepened(structure)
            if config.depth and not structure.branches:
                progress.note("no branch of this network can go: widths only")
        phase.advance()
    with threads(thread_count(config, structure)):
        latency = _find_latency(inputs, config, budget, structure, progress)
    cost = latency.cost if latency else None
    return PruningUnits.of(structure, Granularity.parse(config.granularity), cost), latency


def thread_count(config: PruningConfig, structure: Structure) -> int:
    """Threads that a run computes with."""
    return config.threads or suitable_threads(CostModel(structure).macs.dense)


def bind_budget(
    budget: Budget, config: PruningConfig, cost: CostModel, device: torch.device
) -> BoundBudget:
    """Bind a budget to a network; by default in steps that suit hardware, finer if it takes them.

    Raises UsageError for a budget that makes no sense or layers to keep that do not exist,
    InfeasibleError for a budget out of reach.
    """
    structure, least = cost.structure, floors(cost.structure, config.keep, config.only)
    steps = _steps(budget, config, structure, device)
    while config.align is None and "latency" not in budget.costs and max(steps, default=1) > 1:
        with suppress(InfeasibleError):  # no budget is lost to a default
            return budget.bind(cost, steps, least)
        steps = finer(steps)
    try:
        return budget.bind(cost, steps, least)
    except InfeasibleError as error:
        masked = config.granularity != CHANNEL
        if masked or _decides_branches(config, budget) or not structure.branches:
            raise
        raise InfeasibleError(error.message, _deeper(error.hint, budget, config, cost)) from None


def _decides_branches(config: PruningConfig, budget: Budget) -> bool:
    """Whether branches may go: by default where latency is limited, where that was seen to pay."""
    asked = config.depth or ("auto" if "latency" in budget.costs else "off")
    return asked == "auto" and config.granularity == CHANNEL


def _deeper(hint: str, budget: Budget, config: PruningConfig, cost: CostModel) -> str:
    """Add to the hint of a budget that widths do not reach what branches that go would do."""
    if "latency" in budget.costs:  # its tables are made for widths
        return f"{hint}, or let branches go: --depth auto"
    deep = CostModel(deepened(cost.structure), cost.table)
    steps = (config.align or 1,) * len(deep.structure.groups)
    try:
        bound = budget.bind(deep, steps, floors(deep.structure, config.keep, config.only))
    except InfeasibleError:
        return hint
    least = max(one.cost.at(bound.smallest) / one.cost.dense for one in bound.constraints)
    return f"{hint}, or let branches go with --depth auto, which reaches {least:.4f}"


def _find_latency(
    inputs: Inputs,
    config: PruningConfig,
    budget: Budget,
    structure: Structure,
    progress: Progress,
) -> LatencyModel | None:
    """Measure the latency of every plan, or take it from the run; None if no limit is on it."""
    if "latency" not in budget.costs:
        return None
    stored = Artifacts(config.directory)
    if not config.fresh and stored.intact(LATENCY):
        return LatencyModel.from_json(stored.json(LATENCY))
    choices = allowed_counts(structure.groups, _steps(budget, config, structure, inputs.device))
    batch = inputs.sized_batch(config.latency_batch)
    survey = Survey(inputs.model, structure, inputs.task, batch, choices, config.backend)
    for text in survey.notes:
        progress.note(text)
    found: list[str] = []
    with (
        progress.phase("latency", max(1, len(survey.missing))) as phase,
        watched(torch.get_num_threads(), found),
    ):
        latency = survey.take(phase.advance)
    for text in found:
        progress.note(text)
    return latency


def _steps(
    budget: Budget, config: PruningConfig, structure: Structure, device: torch.device
) -> tuple[int, ...]:
    """Return for each group the number that its widths are multiples of."""
    if config.align is not None or config.granularity != "channel":
        return (config.align or 1,) * len(structure.groups)
    if "latency" in budget.costs:
        return width_steps(structure.sizes.values(), device)
    return portable_steps(structure)
