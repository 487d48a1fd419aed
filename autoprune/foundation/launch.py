"""Processes that a launcher such as torchrun started for one command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from autoprune.errors import UsageError

DISTRIBUTED = ("train", "finetune")
"""Commands that several processes can carry out together."""


@dataclass(frozen=True)
class Launch:
    """Place of this process among those that were launched: its ``rank`` and their number.

    ``local_rank`` and ``local_size`` count those on this machine only. Rank 0 leads: it alone
    writes files and prints.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Launch:
        """Read what torchrun leaves in the environment; without it, one process is all there is."""
        if "TORCHELASTIC_RUN_ID" not in environment:
            return cls()
        names = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        return cls(*(int(environment.get(name, alone)) for name, alone in names.items()))

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def check(self, command: str) -> None:
        """Raise UsageError if several processes were started for a command of one."""
        if self.size > 1 and command not in DISTRIBUTED:
            raise UsageError(
                f"{command} runs in one process, and {self.size} were launched",
                f"start it without torchrun; {' and '.join(DISTRIBUTED)} take several",
            )
