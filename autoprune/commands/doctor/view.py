"""View of ``autoprune doctor``, on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autoprune.commands.doctor.result import OK, Check, Diagnosis
from autoprune.foundation.tables import title

_MARKS = {"ok": ("✓", "green"), "absent": ("-", "yellow"), "broken": ("✗", "bold red")}


def doctor_view(diagnosis: Diagnosis, version: str) -> RenderableType:
    """Show a line for each check, with advice if it is not ok."""
    rows = Table.grid(padding=(0, 1))
    for topic, checks in _by_topic(diagnosis.checks).items():
        rows.add_row("", Text(topic, style="bold"))
        for check in checks:
            mark, style = _MARKS[check.status]
            rows.add_row(Text(mark, style=style), Text(f"{check.name} {check.found}"))
            if check.status != OK:
                rows.add_row("", Text(check.advice, style="dim"))
    verdict = "all that is needed is here" if diagnosis.ok else "something that is needed is broken"
    return Stack(title(f"autoprune {version}", verdict), Padding(rows, (0, 0, 1, 1)))


def _by_topic(checks: Sequence[Check]) -> dict[str, list[Check]]:
    """Group by topic, in the order of appearance; packages that are ok share a line."""
    topics: dict[str, list[Check]] = {}
    for check in checks:
        topics.setdefault(check.topic, []).append(check)
    for topic, of_topic in topics.items():
        if topic == "packages" or topic.startswith("["):
            fine = [check for check in of_topic if check.status == OK]
            names = ", ".join(f"{check.name} {check.found}" for check in fine)
            others = [check for check in of_topic if check not in fine]
            joined = [Check(topic, names, OK, "")] if fine else []
            topics[topic] = [*joined, *others]
    return topics
