"""Configuration of ``autoprune prune``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import tyro

from autoprune.errors import UsageError
from autoprune.foundation.config import slug
from autoprune.foundation.options import Name
from autoprune.pipeline.config import PruningConfig

WHOLE = "1flops"
"""Budget of a plan by hand without one: no limit."""

STEPS = 5
"""Rounds of an iterative schedule by default."""

SMALL_STEPS = 20
"""Rounds of a gradual schedule by default."""


@dataclass(frozen=True, kw_only=True)
class PruneConfig(PruningConfig):
    """Prune to a budget by a rule of thumb, without search, in one round or several."""

    command: ClassVar[str] = "prune"
    least: ClassVar[Mapping[str, int]] = {**PruningConfig.least, "steps": 1}

    budget: Annotated[
        str,
        tyro.conf.arg(
            metavar="SPEC",
            help="Ceiling on cost, as 0.5flops, 0.3params or 60Mmacs; joined by commas, all must"
            " hold. Needed unless there is a plan.",
            help_behavior_hint="",
        ),
    ] = ""
    plan: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="FILE",
            help="Plan by hand: JSON of layers and the units, or the fraction, that they keep, as"
            ' {"conv1": 8, "layer1.*": 0.5}; all others stay whole. A file, or the text itself.',
            help_behavior_hint="",
        ),
    ] = None
    schedule: Literal["one-shot", "iterative", "gradual"] = "one-shot"
    """Prune once and fine-tune; or prune a little, fine-tune, and again until on the budget; or in
    many small rounds in the first half of one fine-tuning."""
    steps: Annotated[
        int | None,
        tyro.conf.arg(metavar="N", help_behavior_hint=f"(default: {STEPS}, gradual {SMALL_STEPS})"),
    ] = None
    """Rounds of the iterative and the gradual schedule."""
    heuristic: Name = "uniform"
    """How the budget is spread: uniform, deeper-more, shallower-more, larger-more; global."""

    def __post_init__(self) -> None:
        if not self.budget:
            if self.plan is None:
                raise UsageError("prune needs --budget or --plan", "as in --budget 0.5flops")
            object.__setattr__(self, "budget", WHOLE)
        if self.plan is not None and self.schedule != "one-shot":
            raise UsageError("a plan by hand is carried out at once", "leave --schedule out")
        if self.schedule == "one-shot" and self.steps not in (None, 1):
            raise UsageError(
                f"--steps {self.steps} is not one shot",
                "add --schedule iterative or gradual, or leave it out",
            )
        if self.schedule == "gradual" and not self.finetune_epochs:
            raise UsageError(
                "--schedule gradual prunes while it trains", "give it --finetune-epochs above 0"
            )
        usual = {"one-shot": 1, "iterative": STEPS}.get(self.schedule, SMALL_STEPS)
        rounds = usual if self.steps is None else self.steps
        object.__setattr__(self, "steps", rounds)
        super().__post_init__()

    @property
    def subject(self) -> str:
        """Model, and budget or the word plan."""
        return super().subject if self.budget != WHOLE else f"{slug(str(self.model))}-plan"

    @property
    def title(self) -> str:
        """Command, model, budget and rule, or the word plan."""
        rule = f"-{slug(self.heuristic)}" if self.budget != WHOLE else ""
        return f"{super().title}{rule}"
