"""Early ends of a search: time that is over, and callbacks that ask for it."""

from __future__ import annotations

import time
from typing import Final

from autoprune.pipeline.callbacks import Callbacks, Trial
from autoprune.problem.ledger import Ledger, Record
from autoprune.runs.run import Run

STOPPED: Final = "stopped.json"
"""Where a run keeps that its search was stopped: continued, it stops at the same evaluation."""


class EarlyEnd:
    """Decides after each evaluation whether the search ends; tells the callbacks.

    Plans that are being evaluated are finished first. ``minutes`` count from here on. A ``run``
    remembers where its search was stopped.
    """

    def __init__(self, callbacks: Callbacks, minutes: float | None, run: Run | None = None) -> None:
        self._callbacks, self._minutes, self._run = callbacks, minutes, run
        self._reason = ""
        self._at: int | None = None
        if run and run.artifacts.intact(STOPPED):
            stored = run.artifacts.json(STOPPED)
            self._at, self._reason = int(stored["evaluations"]), str(stored["reason"])
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes

    def after(self, record: Record, ledger: Ledger) -> None:
        """Take note of an evaluation."""
        if self._at is not None:
            if record.number == self._at:
                ledger.stop()
        elif self._deadline and not record.recalled and time.monotonic() >= self._deadline:
            self._stop(ledger, f"{self._minutes:g} minutes are over")
        best, found = ledger.best, record.evaluation
        self._callbacks.evaluation(
            Trial(
                record.number,
                ledger.limit,
                record.plan,
                found.loss,
                found.score,
                best.evaluation.loss if best else float("inf"),
                record.recalled,
                lambda reason: self._stop(ledger, reason),
            )
        )

    def warning(self, ledger: Ledger) -> list[str]:
        """Return the warning that the search was stopped, if it was; the run remembers it."""
        if not ledger.stopped:
            return []
        if self._run and self._at is None:
            stored = {"evaluations": ledger.count, "reason": self._reason}
            self._run.publish_json(STOPPED, stored)
        return [
            f"the search was stopped after {ledger.count} of {ledger.limit} evaluations:"
            f" {self._reason}"
        ]

    def _stop(self, ledger: Ledger, reason: str) -> None:
        if not ledger.stopped:
            self._reason = reason
            ledger.stop()
