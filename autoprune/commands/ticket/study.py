"""Protocol of a study: a question about tickets and the trainings that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from autoprune.commands.ticket.jobs import Job, Record, Records, Tick
from autoprune.commands.ticket.summary import Group


class Study(Protocol):
    """A question, and the trainings that answer it."""

    def jobs(self) -> Sequence[Job]:
        """List the trainings, each after those that it needs."""

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train; tickets are read from and stored below ``home``."""

    def groups(self, records: Records) -> Sequence[Group]:
        """Say which trainings are compared with each other."""

    def result(self, records: Records) -> dict[str, Any]:
        """Say what the trainings come to."""
