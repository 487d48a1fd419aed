"""Configuration of ``autoprune doctor``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from autoprune.foundation.config import Config
from autoprune.foundation.options import Debug, Json
from autoprune.foundation.schema import OUTSIDE


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(Config):
    """Check packages, devices and directories, and advise what to do about each problem."""

    command: ClassVar[str] = "doctor"

    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)
