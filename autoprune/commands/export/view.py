"""What was exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.foundation.tables import size


def export_view(facts: Mapping[str, Any]) -> RenderableType:
    """Show what was exported and how far it is from PyTorch."""
    batches = ", ".join(map(str, facts["batches"]))
    lines = Text.assemble(
        (f"{facts['path']}", "bold"),
        f"  {facts['form']}, {size(facts['bytes'])}\n",
        f"largest difference from PyTorch {facts['max_difference']:.1e}, of outputs up to"
        f" {facts['max_output']:.3g};\nreal inputs, in batches of {batches}",
    )
    return Padding(lines, (1, 0, 1, 1))
