"""Parser of ``--granularity``; imports no torch, so a wrong value is rejected at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from autoprune.errors import UsageError

CHANNEL: Final = "channel"
WEIGHT: Final = "weight"

_PATTERN: Final = re.compile(r"(\d{1,3}):(\d{1,3})")
_HINT: Final = "channel (removed), weight (single weights, masked), or n:m such as 2:4 (masked)"


@dataclass(frozen=True)
class Granularity:
    """Kind of a unit: a channel, a few single weights, or a row of blocks of ``m`` weights.

    ``block``: (n, m) for the pattern n:m, which keeps at most n of any m consecutive weights, else
    None.
    """

    name: str
    block: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``channel``, ``weight`` or ``n:m`` with 1 <= n < m.

        Raises UsageError for anything else.
        """
        if text in (CHANNEL, WEIGHT):
            return cls(text)
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"unknown granularity {text!r}", _HINT)
        n, m = int(match[1]), int(match[2])
        if not 1 <= n < m:
            reason = "keeps nothing" if n == 0 else "removes nothing" if n == m else "is no pattern"
            raise UsageError(
                f"{text} {reason}: of every m weights n stay, at least 1 and fewer than m",
                "2:4 is what GPUs know",
            )
        return cls(f"{n}:{m}", (n, m))

    @property
    def masked(self) -> bool:
        """Whether weights are set to zero in place, and no tensor gets smaller."""
        return self.name != CHANNEL

    def __str__(self) -> str:
        return self.name
