"""View of ``autoprune export``."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.export.result import Exported
from autoprune.foundation.tables import size, warning
from autoprune.pipeline.view import speed_view

MANY: Final = 20
"""Most classes whose names are printed; ``--json`` has all."""


def export_view(exported: Exported) -> RenderableType:
    """Show the file and its largest difference from PyTorch."""
    batches = ", ".join(map(str, exported.batches))
    lines = Text.assemble(
        (f"{exported.path}", "bold"),
        f"  {exported.form}, {size(exported.bytes)}\n",
        f"largest difference from PyTorch {exported.difference:.1e}, of outputs up to"
        f" {exported.scale:.3g};\nreal inputs, in batches of {batches}",
        f"\n{exported.opens}" if exported.opens else "",
        *_usage(exported),
    )
    parts = [*speed_view(exported.speeds), *map(warning, exported.slower)]
    return Group(Padding(lines, (1, 0, 1, 1)), *parts)


def _usage(exported: Exported) -> list[str]:
    """Say how an image becomes an input, and what the outputs are: the file alone does not tell."""
    lines = []
    if exported.images:
        mean, std = (
            ", ".join(f"{value:.4f}" for value in values)
            for values in (exported.images.mean, exported.images.std)
        )
        lines.append(f"\ninputs: (pixels / 255 - mean) / std, mean {mean}, std {std}")
    if exported.class_names:
        more = ", ..." if len(exported.class_names) > MANY else ""
        lines.append(f"\noutputs: {', '.join(exported.class_names[:MANY])}{more}")
    return lines
