"""Protocol of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from autoprune.commands.ticket.evidence.summary import Level
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick


class Study(Protocol):
    """Study: a question about tickets, and the trainings that answer it."""

    def jobs(self) -> Sequence[Job]:
        """List the trainings, each after those that it needs."""

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network; tickets are read from and stored below ``home``."""

    def levels_of(self, records: Records) -> Sequence[Level]:
        """Return the trials by level; those of a level are compared with each other."""

    def result(self, records: Records) -> dict[str, Any]:
        """Return the figures and the verdict, as JSON."""
