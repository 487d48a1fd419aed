"""Plain text: what a terminal would obey is shown instead.

Names and messages can come from strangers' files. A terminal that gets their control characters as
they are can be made to retitle its window, to hide lines, or to type.
"""

from __future__ import annotations

import re
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but for tab and line feed, and those that turn the direction of writing."""


_MARK: Final = "\N{REPLACEMENT CHARACTER}"


def plain(text: str) -> str:
    r"""Write control characters as escapes: ``\x1b``."""
    return _CONTROLS.sub(_escape, text)


def plain_json(text: str) -> str:
    """Escape the control characters that JSON allows in strings; the value stays the same."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """Return a text as one plain line."""
    return plain(" ".join(text.split()))


class Plain:
    """What rich renders, with every control character of its texts replaced by one mark."""

    def __init__(self, view: RenderableType) -> None:
        self.view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(self.view, options):
            yield Segment(
                text if control else _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text),
                style,
                control,
            )


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
