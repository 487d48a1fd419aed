"""Result of ``autoprune doctor``: the checks and whether all needs are met."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Status = Literal["ok", "absent", "broken"]
"""``broken`` prevents any work, ``absent`` only what some commands need."""

OK: Final = "ok"
ABSENT: Final = "absent"
BROKEN: Final = "broken"


@dataclass(frozen=True)
class Check:
    """Outcome of one check; ``advice`` says what to do unless it is ok."""

    topic: str
    name: str
    status: Status
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All checks of packages, devices and directories."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing that autoprune needs is broken."""
        return all(check.status != BROKEN for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}
