"""Result of ``autoprune report``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType


@dataclass(frozen=True)
class Report:
    """Facts about a run, and their view."""

    facts: Mapping[str, Any]
    view: RenderableType

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return dict(self.facts)
