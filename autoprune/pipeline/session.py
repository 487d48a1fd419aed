"""Session of a run under way: its setup, configuration, directory, curves and progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.latency import LatencyModel
from autoprune.cost.model import CostModel
from autoprune.foundation.progress import Progress
from autoprune.foundation.seeds import Seeds
from autoprune.pipeline.config import PruningConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.inputs import Inputs
from autoprune.pipeline.own import NOTHING, Own
from autoprune.pipeline.setup import Setup
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.granularity.units import PruningUnits
from autoprune.runs.run import Run
from autoprune.structure.table import Structure

Asked = TypeVar("Asked", bound=PruningConfig, covariant=True)


@dataclass(frozen=True)
class Session(Generic[Asked]):
    """Everything that the stages of a run share; ``config`` is the command's."""

    setup: Setup
    config: Asked
    run: Run
    curves: Curves
    progress: Progress
    tuning: Tuning = field(default_factory=Tuning)
    own: Own = NOTHING

    @property
    def inputs(self) -> Inputs:
        """Network, data and task."""
        return self.setup.inputs

    @property
    def units(self) -> PruningUnits:
        """Units that a plan decides on."""
        return self.setup.units

    @property
    def budget(self) -> BoundBudget:
        """The budget, bound to the network."""
        return self.setup.budget

    @property
    def latency(self) -> LatencyModel | None:
        """Predicted latency of every plan; None where no limit is on it."""
        return self.setup.latency

    @property
    def structure(self) -> Structure:
        """Structure of the network's tensors."""
        return self.units.structure

    @property
    def cost(self) -> CostModel:
        """Costs of a plan."""
        return self.units.cost

    @property
    def seeds(self) -> Seeds:
        """Seeds of the random streams of the run."""
        return Seeds(self.config.seed)


PruningSession = Session[PruningConfig]
"""Session of any command that prunes."""
