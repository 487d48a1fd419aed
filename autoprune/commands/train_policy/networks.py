"""Networks that a policy is trained on: found, analyzed, and bound to every budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from autoprune.commands.train_policy.config import Source, TrainPolicyConfig
from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.budget import Budget
from autoprune.cost.latency import LatencyModel
from autoprune.errors import InfeasibleError, UsageError
from autoprune.foundation import trust
from autoprune.foundation.progress import Progress
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.inputs import Inputs, from_config
from autoprune.pipeline.setup import bind_budget, price
from autoprune.problem.granularity.units import PruningUnits
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import CONFIG


@dataclass(frozen=True)
class Network:
    """A network to train on, found and analyzed.

    ``budgets`` [texts] are those it can meet; ``between`` lie between them and judge a policy.
    """

    name: str
    config: SearchConfig
    inputs: Inputs
    units: PruningUnits
    latency: LatencyModel | None
    budgets: Mapping[str, BoundBudget]
    between: Sequence[BoundBudget]


def find_network(config: TrainPolicyConfig, source: Source, progress: Progress) -> Network:
    """Find and analyze one network, and bind every budget that it can meet.

    Raises UsageError or DamagedError for what is missing or malformed, InfeasibleError if it can
    meet none of the budgets.
    """
    name, source = _from_run(source, trust_code=config.trust_code)
    asked = SearchConfig(
        budget=",".join(f"{high:g}{unit}" for _, high, unit in config.ranges),
        model=source.model,
        weights=source.weights,
        data=source.data or config.data,
        resize=config.resize if source.resize is None else source.resize,
        task=config.task,
        ranking=config.ranking,
        align=config.align,
        seed=config.seed,
        device=config.device,
    )
    inputs = from_config(asked)
    units, latency = price(inputs, asked, Budget.parse(asked.budget), progress)
    budgets = {}
    for text in config.grid:
        try:
            budgets[text] = bind_budget(Budget.parse(text), asked, units.cost, inputs.device)
        except InfeasibleError as error:
            if text == config.grid[-1] and not budgets:
                raise
            progress.note(f"{name} is not trained at {text}: {error.args[0]}")
    between = []
    for text in config.between:
        with suppress(InfeasibleError):
            between.append(bind_budget(Budget.parse(text), asked, units.cost, inputs.device))
    return Network(name, asked, inputs, units, latency, budgets, between)


def _from_run(source: Source, *, trust_code: bool) -> tuple[str, Source]:
    """Name a network, and look up its weights and data in the run that trained it."""
    path = Path(source.model)
    if not (path / CONFIG).is_file():
        return source.model, source
    artifacts = Artifacts(path)
    meta = artifacts.json(CONFIG)
    said = meta.get("config") if isinstance(meta, dict) else None
    if not isinstance(said, dict) or meta.get("command") != "train":
        raise UsageError(
            f"{path} is not a run of autoprune train", "name its network as MODEL=WEIGHTS@DATA"
        )
    if not trust_code:
        for named in (str(said["model"]), *([] if source.data else [str(said["data"])])):
            trust.check_named(named)
    weights = artifacts.file("model.safetensors")
    resize = said.get("resize") if source.data is None else None
    data = source.data or str(said["data"])
    return path.name, Source(str(said["model"]), str(weights), data, resize)


def with_unique_names(networks: Sequence[Network]) -> list[Network]:
    """Append a number to the names of networks that are called the same."""
    names = [item.name for item in networks]
    return [
        replace(item, name=f"{item.name}-{names[:index].count(item.name) + 1}")
        if item.name in names[:index]
        else item
        for index, item in enumerate(networks)
    ]
