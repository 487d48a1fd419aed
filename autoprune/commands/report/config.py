"""Configuration of ``autoprune report``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import tyro

from autoprune.foundation.config import Config
from autoprune.foundation.options import Debug, Given, Json
from autoprune.foundation.schema import OUTSIDE


@dataclass(frozen=True, kw_only=True)
class ReportConfig(Config):
    """Show a run again: its result, or its progress so far. Nothing is computed or changed."""

    command: ClassVar[str] = "report"

    run: Given
    """Directory of a run, of any command."""
    plot: Annotated[
        str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: none)")
    ] = None
    """Draw the scores of all evaluations and the units kept by group, as .png or .svg."""
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)
