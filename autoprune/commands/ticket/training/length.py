"""Lengths as users write them: ``500it`` or ``2ep``."""

from __future__ import annotations

import re
from typing import Final

_LENGTH: Final = re.compile(r"(\d{1,9})(it|ep)?")


def iterations(text: str, epoch: int) -> int | None:
    """Return the iterations that ``text`` stands for, None if it is no length.

    ``epoch`` is the number of iterations in an epoch.
    """
    match = _LENGTH.fullmatch(text)
    if match is None:
        return None
    return int(match[1]) * (epoch if match[2] == "ep" else 1)
