"""Result of a pruning run: measures, plan and files; ``result.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from autoprune.cost.latency import LatencyModel
from autoprune.cost.latency.model import MILLI
from autoprune.foundation.lazy import load_reference
from autoprune.foundation.schema import OUTSIDE, Stored, stored_as
from autoprune.networks.save import rewrite_network
from autoprune.pipeline.speeds import ALIGNED, Speed, slower
from autoprune.pipeline.timing import Timing
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import leave_journal
from autoprune.structure.plan import Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Measure:
    """One state of the network, measured: on the test split, per sample.

    ``score`` is the task's score in [0, 1]; ``macs`` multiply-adds of one sample; ``bytes`` the
    size of the weights file; ``latency_ms`` milliseconds of one sample as it is deployed
    (:mod:`autoprune.cost.latency.deployed`), None if not measured; ``other`` what else the task
    counts, such as a character error rate.
    """

    score: float = field(metadata=stored_as("accuracy"))
    macs: int
    parameters: int
    bytes: int
    latency_ms: float | None = None
    other: Mapping[str, float] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """The score, by its name in result.json and in scripts written for earlier versions."""
        return self.score

    @property
    def flops(self) -> int:
        """Floating point operations of one sample: 2 x MACs."""
        return 2 * self.macs


@dataclass(frozen=True)
class GroupKeep:
    """Units of one group that the plan keeps; ``share``: the part of all MACs that it holds.

    ``error``: what its ranking predicts of the removal (``Ranking.errors``), None if unknown.
    """

    name: str
    kind: str
    size: int
    kept: int
    share: float
    error: float | None = None


@dataclass(frozen=True)
class Reference:
    """A network that a search is held against: score and loss on the search split."""

    score: float
    loss: float


@dataclass(frozen=True)
class Round:
    """One round of a schedule; scores on the search split, before and after fine-tuning."""

    plan: Plan
    macs: int
    parameters: int
    pruned: float
    finetuned: float = field(metadata=stored_as("recovered"))


@dataclass(frozen=True)
class Baseline:
    """The same budget met without learning, measured the same way."""

    name: str
    pruned: Measure
    finetuned: Measure = field(metadata=stored_as("recovered"))


@dataclass(frozen=True)
class Probe:
    """One budget on the way to the smallest network that loses little enough.

    ``cost``: of its network, as a part of dense. ``points``: of the score, lost on the validation
    split, +- ``margin`` at 95 %, None where it is not known. ``held``: whether that was allowed.
    """

    budget: str
    cost: float
    points: float
    margin: float | None
    held: bool

    @property
    def said(self) -> str:
        """The points that are lost, in words."""
        interval = "" if self.margin is None else f" +- {self.margin:.2f}"
        return f"{self.points:.2f}{interval} points"


@dataclass(frozen=True)
class Drop:
    """Search for the smallest network by ``unit`` of which ``most`` points may be lost."""

    most: float
    unit: str
    probes: tuple[Probe, ...]


@dataclass(frozen=True)
class LatencyCheck:
    """The latency a plan was chosen by beside that of the final network; ms per sample.

    ``dense_predicted_ms`` and ``dense_measured_ms`` are those of the dense network, measured at the
    same time: a machine that has slowed down since the tables were made slows both. ``corrected``:
    how far the measured tables were moved so that they never fall, as a part. ``interval``: what
    the measured part of dense lies between; empty in older results.
    """

    predicted_ms: float
    measured_ms: float
    dense_predicted_ms: float
    dense_measured_ms: float
    batch: int
    device: str
    backend: str
    corrected: float
    interval: tuple[float, ...] = ()

    @classmethod
    def of(cls, model: LatencyModel, timing: Timing) -> Self:
        """Hold a prediction against a measurement."""
        predicted, dense = model.cost(timing.plan) / MILLI, model.cost.dense / MILLI
        facts = (model.batch, model.device, model.backend, model.corrected)
        interval = (timing.fraction.low, timing.fraction.high)
        return cls(predicted, timing.ms.median, dense, timing.dense_ms, *facts, interval)

    @property
    def error(self) -> float:
        """Relative error of the prediction, positive where it was too high."""
        return self.predicted_ms / self.measured_ms - 1

    @property
    def fractions(self) -> tuple[float, float]:
        """Predicted and measured latency as parts of the dense network's."""
        return (
            self.predicted_ms / self.dense_predicted_ms,
            self.measured_ms / self.dense_measured_ms,
        )


@dataclass(frozen=True, repr=False)
class Result(Stored):
    """Result of a search.

    ``dense``, ``pruned`` and ``finetuned`` are the trained network, the compact one and the compact
    one after fine-tuning. ``network`` and ``data`` are the specs they came from, ``score`` the best
    on the search split (None if nothing was evaluated), ``latency`` (of latency budgets) the
    predicted one beside the measured one, ``speeds`` the time of the delivered network on each
    backend, on one sample and on a batch,
    ``finetune_epochs`` the epochs of fine-tuning, 0 for none, None in older results,
    ``dense_finetuned`` the dense network after as much fine-tuning, if it was asked for,
    ``matched`` the compact network after feature matching, None without,
    ``references`` the dense network and the uniform plan's (``dense``, ``uniform``) on the search
    split, of searches that evaluated plans,
    ``drop`` the budgets tried for the smallest network that loses little enough, if asked for,
    ``metric`` what the task's score is called, ``run`` the directory that
    holds everything and ``files`` what lies in it (name -> what it is). ``model`` is the compact,
    fine-tuned network itself and not part of the JSON.
    """

    dense: Measure = field(metadata=stored_as("base"))
    pruned: Measure
    finetuned: Measure = field(metadata=stored_as("recovered"))
    budget: str
    plan: Plan
    groups: tuple[GroupKeep, ...]
    evaluations: int
    seconds: float
    seed: int
    agent: str
    ranking: str
    network: str
    data: str
    score: float | None
    run: Path
    metric: str = "accuracy"
    granularity: str = "channel"
    baseline: Baseline | None = None
    latency: LatencyCheck | None = None
    speeds: tuple[Speed, ...] = ()
    finetune_epochs: int | None = None
    dense_finetuned: Measure | None = None
    matched: Measure | None = None
    references: Mapping[str, Reference] = field(default_factory=dict)
    drop: Drop | None = None
    rounds: tuple[Round, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    model: nn.Module | None = field(default=None, compare=False, repr=False, metadata=OUTSIDE)

    @property
    def base(self) -> Measure:
        """``dense``, by its name in result.json and in scripts written for earlier versions."""
        return self.dense

    @property
    def recovered(self) -> Measure:
        """``finetuned``, by its name in result.json and in scripts for earlier versions."""
        return self.finetuned

    def __repr__(self) -> str:
        """Return what was pruned, and what it cost."""
        return (
            f"Result({self.network} at {self.budget}: {self.metric}"
            f" {self.dense.score:.4f} -> {self.finetuned.score:.4f},"
            f" MACs {self.dense.macs:,} -> {self.finetuned.macs:,})"
        )

    def _repr_html_(self) -> str:
        """Return what ``autoprune search`` prints in the end, for notebooks."""
        text: str = load_reference("autoprune.pipeline.view:result_html")(self)
        return text

    @property
    def trials(self) -> Any:
        """Evaluations of the search: a ``pandas.DataFrame`` if pandas is there, else records.

        Columns: ``number``, ``score``, ``loss``, ``failed`` and ``units_GROUP`` of every group.
        Raises UsageError if the run is no longer there, DamagedError if its journal is damaged.
        """
        return load_reference("autoprune.pipeline.trials:table_of_trials")(self.run)

    def plot_search(self) -> Figure:
        """Draw the loss of every evaluation and the least so far; raises as ``trials`` does."""
        return self._plot("search")

    def plot_plan(self) -> Figure:
        """Draw the fraction of every group that is kept."""
        return self._plot("plan")

    def plot_pareto(self) -> Figure:
        """Draw the score over the MACs of dense, pruned and fine-tuned network, and baseline."""
        return self._plot("pareto")

    def _plot(self, name: str) -> Figure:
        figure: Figure = load_reference(f"autoprune.pipeline.plots:{name}_figure")(self)
        return figure

    @property
    def slower(self) -> list[str]:
        """A line on backends where the delivered network takes longer than the dense one."""
        aligned = all(g.kept % ALIGNED == 0 or g.kept == g.size for g in self.groups)
        return slower(self.speeds, self.finetuned.macs / self.dense.macs, aligned=aligned)

    def save(self, path: str | Path) -> None:
        """Save the run with the weights that ``model`` has now; ``autoprune.load`` reads it.

        Everything else is copied from the run, but for its journal. Raises UsageError if the path
        is taken, DamagedError if a file of the run is damaged.
        """
        Artifacts(self.run).copy(Path(path))
        leave_journal(Artifacts(Path(path)))
        if self.model is not None:
            rewrite_network(Artifacts(Path(path)), self.model)
