"""Configuration of ``autoprune ticket``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final

import tyro

from autoprune.commands.ticket.training.length import iterations
from autoprune.errors import UsageError
from autoprune.foundation.config import LARGEST_SEED, MOST_WORKERS, Config, named_directory, slug
from autoprune.foundation.options import (
    Debug,
    Device,
    Flag,
    Fresh,
    Json,
    Name,
    Resize,
    RunDirectory,
    Spec,
    TaskSpec,
    Threads,
    TrustCode,
)
from autoprune.foundation.schema import OUTSIDE

SCOPES: Final = ("layerwise", "global")
RECIPES: Final = ("general", "lenet-300-100", "conv-2", "conv-4", "conv-6")

Count = Annotated[
    int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the network's)")
]

CountOfData = Annotated[
    int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the data's own)")
]

RULES: Final = ("early-bird", "early-overlap")
CRITERIA: Final = ("magnitude", "snip", "grasp", "synflow")
"""Rules and criteria by which ``--early`` draws masks, besides given iterations."""


@dataclass(frozen=True, kw_only=True)
class TicketConfig(Config):
    """Find lottery tickets, or train the mask of a search again, and compare them with controls."""

    command: ClassVar[str] = "ticket"

    run: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="DIR",
            help="A finished search, whose mask is trained again. With --model: the directory of"
            " this run, as --run-dir.",
            help_behavior_hint="",
        ),
    ] = None
    model: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="SPEC",
            help="Zoo name, file.py:function or package.module:function, to find tickets in.",
            help_behavior_hint="(default: lenet-300-100)",
        ),
    ] = None
    data: Spec = "digits"
    """digits, a directory, a hub name, or file.py:function; that of the search with --run."""
    resize: Resize = None
    task: TaskSpec = "classification"
    levels: int = field(default=5, metadata=OUTSIDE)
    """Rounds of pruning, each with a training of the remaining weights; more can be added later."""
    rate: float = 0.2
    """Fraction of the remaining weights to prune at every level; half of it in the output layer."""
    scope: Name = "layerwise"
    """Weights are ranked layerwise, or global (the output layer is then not pruned)."""
    one_shot: Flag = False
    """Prune the trained dense network for every level, not the ticket of the level before."""
    iterations: Count = None
    """Length of every training in iterations."""
    epochs: Annotated[
        int | None,
        tyro.conf.arg(metavar="N", help_behavior_hint="(default: 20, without --iterations)"),
    ] = None
    """Length of every training in epochs."""
    recipe: Annotated[
        str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the network's)")
    ] = None
    """Train as the papers train this network: lenet-300-100, conv-2, conv-4, conv-6; or general."""
    rewind: Name = "0"
    """Rewind point of tickets: 0 (the initial weights), 500it or 2ep."""
    batch_size: Count = None
    """Samples per iteration."""
    learning_rate: Annotated[
        float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: the network's)")
    ] = None
    """Peak learning rate."""
    seeds: int = field(default=3, metadata=OUTSIDE)
    """Repetitions with different seeds; more can be added later."""
    seed: int = 0
    """Seed of everything random in the first repetition; each further one adds 1."""
    split_seed: CountOfData = None
    """Seed that draws the held-out samples; by default those that the data set holds out."""
    early: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="LIST",
            help="Compare masks drawn at different times, as in 100it,1ep,early-bird,snip:"
            " iterations or epochs, early-bird, early-overlap, magnitude, snip, grasp, synflow.",
            help_behavior_hint="",
        ),
    ] = None
    transfer_to: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="SPEC",
            help="Train the tickets found on --data on these data.",
            help_behavior_hint="",
        ),
    ] = None
    weeks: Annotated[
        int | None,
        tyro.conf.arg(
            metavar="N",
            help="Cut the training data into N weeks; a ticket of the first is trained on every"
            " later one.",
            help_behavior_hint="",
        ),
    ] = None
    barrier: Flag = False
    """Train every ticket on a second order of the data; measure the error barrier between both."""
    initial: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="FILE",
            help="With --run: the weights before training, if the search did not store them.",
            help_behavior_hint="",
        ),
    ] = None
    trust_code: TrustCode = field(default=False, metadata=OUTSIDE)
    device: Device = "auto"
    workers: Annotated[
        int | None,
        tyro.conf.arg(
            metavar="N", help_behavior_hint="(default: as many as the cores have threads for)"
        ),
    ] = field(default=None, metadata=OUTSIDE)
    """Trainings side by side, each on --threads; the result is the same for any number."""
    threads: Threads = field(default=0, metadata=OUTSIDE)
    run_dir: RunDirectory = field(default=None, metadata=OUTSIDE)
    fresh: Fresh = field(default=False, metadata=OUTSIDE)
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        self._resolve_directory()
        for name in ("levels", "iterations", "epochs", "batch_size", "seeds", "workers", "resize"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
        if self.threads < 0:
            raise UsageError(f"--threads must be at least 0, not {self.threads}")
        if (self.workers or 0) > MOST_WORKERS:
            raise UsageError(f"--workers must be at most {MOST_WORKERS}, not {self.workers}")
        for name in ("seed", "split_seed"):
            value = getattr(self, name) or 0
            if not 0 <= value <= LARGEST_SEED - self.seeds:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must lie between 0 and 2**64, not {value}")
        self._check_training()
        self._check_study()
        self.rewind_iterations(1)
        for name in self.early_names:
            if name not in RULES + CRITERIA and iterations(name, 1) is None:
                known = ", ".join(RULES + CRITERIA)
                raise UsageError(f"cannot read --early {name!r}", f"100it, 2ep, {known}")

    def _check_training(self) -> None:
        if self.iterations and self.epochs:
            raise UsageError("--iterations and --epochs both set the length", "give one of them")
        if not 0 < self.rate < 1:
            raise UsageError(f"--rate must lie between 0 and 1, not {self.rate:g}", "as in 0.2")
        if self.scope not in SCOPES:
            raise UsageError(f"unknown --scope {self.scope!r}", " or ".join(SCOPES))
        if self.recipe is not None and self.recipe not in RECIPES:
            raise UsageError(f"unknown --recipe {self.recipe!r}", ", ".join(RECIPES))
        if self.weeks is not None and self.weeks < 2:
            raise UsageError(f"--weeks must be at least 2, not {self.weeks}")

    def _check_study(self) -> None:
        """Raise UsageError unless the options ask for one study."""
        asked = [
            f"--{name.replace('_', '-')}"
            for name in ("run", "early", "transfer_to", "weeks")
            if getattr(self, name) is not None
        ]
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)} ask different questions", "one run for each")
        if self.initial and not self.run:
            raise UsageError("--initial belongs to --run, the search whose mask is trained again")
        if self.barrier and asked:
            raise UsageError(f"--barrier goes with iterative pruning, not with {asked[0]}")

    def _resolve_directory(self) -> None:
        """With a model there is no search to read: ``run`` then names the directory of this run."""
        if self.model and self.run:
            object.__setattr__(self, "run_dir", self.run_dir or self.run)
            object.__setattr__(self, "run", None)
        elif not self.run:
            object.__setattr__(self, "model", self.model or "lenet-300-100")

    def rewind_iterations(self, epoch: int) -> int:
        """Return the rewind point as an iteration; ``epoch`` is the length of an epoch."""
        rewind = iterations(self.rewind, epoch)
        if rewind is None:
            raise UsageError(f"cannot read --rewind {self.rewind!r}", "write 0, 500it or 2ep")
        return rewind

    @property
    def early_names(self) -> tuple[str, ...]:
        """Names of the masks that ``--early`` lists, each once."""
        return tuple(dict.fromkeys(name.strip() for name in (self.early or "").split(",") if name))

    @property
    def directory(self) -> Path:
        """Directory of the run: ``run_dir``, or a name made of network, data and configuration."""
        inputs = self.model or Path(str(self.run)).name
        return named_directory(self.run_dir, f"ticket-{slug(inputs)}-{slug(self.data)}-{self.key}")
