"""Early ends of a search: time that is over, and callbacks that ask for it."""

from __future__ import annotations

import time
from typing import Final

from autoprune.pipeline.callbacks import Callbacks, Trial
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.session import Session
from autoprune.problem.ledger import Ledger, Record

STOPPED: Final = "stopped.json"
"""Where a run keeps that its search was stopped: continued, it stops at the same evaluation."""


class EarlyEnd:
    """Decides after each evaluation whether the search ends; tells the callbacks.

    Plans that are being evaluated are finished first. ``--minutes`` count from here on.
    """

    def __init__(self, session: Session[SearchConfig]) -> None:
        self._run, self._config = session.run, session.config
        self._callbacks = Callbacks(session.own.callbacks, session.run.path)
        self._reason = ""
        self._at: int | None = None
        if self._run.artifacts.intact(STOPPED):
            stored = self._run.artifacts.json(STOPPED)
            self._at, self._reason = int(stored["evaluations"]), str(stored["reason"])
        minutes = session.config.minutes
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes

    def after(self, record: Record, ledger: Ledger) -> None:
        """Take note of an evaluation."""
        if self._at is not None:
            if record.number == self._at:
                ledger.stop()
        elif self._deadline and not record.recalled and time.monotonic() >= self._deadline:
            self._stop(ledger, f"{self._config.minutes:g} minutes are over")
        best = ledger.best
        self._callbacks.evaluation(
            Trial(
                record.number,
                ledger.limit,
                record.plan,
                record.evaluation.loss,
                record.evaluation.score,
                best.evaluation.loss if best else float("inf"),
                record.recalled,
                lambda reason: self._stop(ledger, reason),
            )
        )

    def keep(self, ledger: Ledger) -> None:
        """Store in the run that the search was stopped, and warn of it."""
        if not ledger.stopped:
            return
        if self._at is None:
            self._run.publish_json(STOPPED, {"evaluations": ledger.count, "reason": self._reason})
        self._run.warnings.append(
            f"the search was stopped after {ledger.count} of {ledger.limit} evaluations:"
            f" {self._reason}"
        )

    def _stop(self, ledger: Ledger, reason: str) -> None:
        if not ledger.stopped:
            self._reason = reason
            ledger.stop()
