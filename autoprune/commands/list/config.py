"""Configuration of ``autoprune list``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import tyro

from autoprune.foundation.config import Config
from autoprune.foundation.options import Debug, Json
from autoprune.foundation.schema import OUTSIDE


@dataclass(frozen=True, kw_only=True)
class ListConfig(Config):
    """List the runs in a directory, the latest first: what was asked, and what came of it."""

    command: ClassVar[str] = "list"

    directory_of_runs: Annotated[str, tyro.conf.arg(name="in", metavar="DIR")] = "logs"
    """Directory whose runs are listed."""
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)
