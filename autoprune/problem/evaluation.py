"""Evaluation of a plan: score and loss on the search split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

FAILED_LOSS: Final = 1e6
"""Loss of a failed evaluation: finite, as the journal requires, and worse than any real one."""


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of one plan on the search split: score in [0, 1], higher is better, and mean loss.

    ``failed``: the score or the loss was NaN or infinite; both then hold finite stand-ins.
    ``doubt``: standard error of the loss of a plan that fell behind the best and was given up
    before it had run on all samples; 0 for all others.
    """

    score: float
    loss: float
    seconds: float = 0.0
    failed: bool = False
    doubt: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether the plan ran on all samples and its numbers are finite."""
        return not (self.failed or self.doubt)

    def finite(self) -> Evaluation:
        """Return self, or a failed evaluation if one of the numbers is not finite."""
        if all(map(math.isfinite, (self.score, self.loss, self.doubt))):
            return self
        return Evaluation(0.0, FAILED_LOSS, self.seconds, failed=True)
