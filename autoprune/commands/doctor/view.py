"""What the doctor found, on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autoprune.foundation.tables import title

Check = Mapping[str, str]

_MARKS = {"ok": ("✓", "green"), "absent": ("-", "yellow"), "broken": ("✗", "bold red")}


def doctor_view(facts: Mapping[str, Any], version: str) -> RenderableType:
    """Show what is well shortly, and advice for each thing that is not."""
    rows = Table.grid(padding=(0, 1))
    for topic, checks in _by_topic(facts["checks"]).items():
        rows.add_row("", Text(topic, style="bold"))
        for check in checks:
            mark, style = _MARKS[check["status"]]
            rows.add_row(Text(mark, style=style), Text(f"{check['name']} {check['found']}"))
            if check["status"] != "ok":
                rows.add_row("", Text(check["advice"], style="dim"))
    verdict = "all that is needed is here" if facts["ok"] else "something that is needed is broken"
    return Stack(title(f"autoprune {version}", verdict), Padding(rows, (0, 0, 1, 1)))


def _by_topic(checks: Sequence[Check]) -> dict[str, list[Check]]:
    """Sort by topic, in the order of appearance; packages that are well share a line."""
    topics: dict[str, list[Check]] = {}
    for check in checks:
        topics.setdefault(check["topic"], []).append(check)
    for topic, found in topics.items():
        if topic == "packages" or topic.startswith("["):
            well = [check for check in found if check["status"] == "ok"]
            names = ", ".join(f"{check['name']} {check['found']}" for check in well)
            others = [check for check in found if check not in well]
            joined = [{"status": "ok", "name": names, "found": ""}] if well else []
            topics[topic] = [*joined, *others]
    return topics
