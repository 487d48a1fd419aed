"""View of ``autoprune export``."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.export.result import Exported
from autoprune.foundation.tables import size, warning
from autoprune.pipeline.view import speed_view


def export_view(exported: Exported) -> RenderableType:
    """Show the file and its largest difference from PyTorch."""
    batches = ", ".join(map(str, exported.batches))
    lines = Text.assemble(
        (f"{exported.path}", "bold"),
        f"  {exported.form}, {size(exported.bytes)}\n",
        f"largest difference from PyTorch {exported.difference:.1e}, of outputs up to"
        f" {exported.scale:.3g};\nreal inputs, in batches of {batches}",
        f"\n{exported.opens}" if exported.opens else "",
    )
    parts = [*speed_view(exported.speeds), *map(warning, exported.slower)]
    return Group(Padding(lines, (1, 0, 1, 1)), *parts)
