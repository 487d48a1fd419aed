"""Options of a network's constructor, written after its name: ``timm:vit_tiny,img_size=64``."""

from __future__ import annotations

import re
from typing import Any

from autoprune.errors import UsageError

_WORD = re.compile(r"[A-Za-z0-9_.+-]+")


def split_options(spec: str) -> tuple[str, dict[str, Any]]:
    """Split ``NAME,option=value,...`` into the name and the options, with their types.

    Values are whole numbers, numbers, ``true``, ``false``, ``none``, words, or lists of those
    joined by slashes (``depths=2/2/6/2``).

    Raises UsageError for anything else, and for an option that is given twice.
    """
    name, *pairs = spec.split(",")
    options: dict[str, Any] = {}
    for pair in pairs:
        option, equals, text = pair.strip().partition("=")
        if not (option.isidentifier() and equals and text):
            raise UsageError(f"{pair!r} is no option", f"write it as in {name},option=value")
        if option in options:
            raise UsageError(f"{name} is given {option!r} twice", "once is enough")
        parts = [_value(pair, part) for part in text.split("/")]
        options[option] = parts if len(parts) > 1 else parts[0]
    return name, options


def _value(pair: str, text: str) -> int | float | bool | str | None:
    known = {"true": True, "false": False, "none": None}
    if text.lower() in known:
        return known[text.lower()]
    if not _WORD.fullmatch(text):
        raise UsageError(f"{pair!r} is no option", "values are numbers, words, or lists as 2/2/6")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def is_plain(value: object) -> bool:
    """Say whether a stored value could have been written by :func:`split_options`."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value)) and not any(
            isinstance(one, (list, tuple)) for one in value
        )
    if isinstance(value, str):
        return bool(_WORD.fullmatch(value))
    return value is None or isinstance(value, (bool, int, float))
