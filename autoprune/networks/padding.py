"""Padding: the places of a batch of text that hold no token.

Values at such places are whatever the network makes of nothing. While a batch is run its mask is
known here, so that whoever listens to values on the way leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from torch import Tensor

MASK: Final = "attention_mask"
"""Argument that says which places hold a token, [B, T]."""

_current: ContextVar[Tensor | None] = ContextVar("tokens", default=None)


def tokens_of(arguments: Mapping[str, Any]) -> Tensor | None:
    """Return which places hold a token, bool [B, T]; None where all do, or nothing says so."""
    mask = arguments.get(MASK)
    if not isinstance(mask, Tensor) or mask.dim() != 2:
        return None
    there = mask != 0
    return None if bool(there.all()) else there


@contextmanager
def padded(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Know the tokens of a batch while it is run."""
    token = _current.set(tokens_of(arguments))
    try:
        yield
    finally:
        _current.reset(token)


def tokens_in(value: Tensor, tokens: Tensor | None = None) -> Tensor | None:
    """Return which of the first places of a value hold a token: bool [B, T] or [B T].

    ``value`` is [B, T, ...] or [B T, ...]; None for values of another form, and where all do.
    ``tokens`` are those of the batch that is run, unless they are given.
    """
    tokens = _current.get() if tokens is None else tokens
    if tokens is None:
        return None
    if value.dim() > 2 and value.shape[:2] == tokens.shape:
        return tokens
    flat = value.dim() == 2 and len(value) == tokens.numel() and tokens.shape[1] > 1
    return tokens.flatten() if flat else None


def rows_of(value: Tensor) -> Tensor:
    """Return the rows [rows, units] of a value [..., units], without those of padding."""
    there = tokens_in(value)
    return value.reshape(-1, value.shape[-1]) if there is None else value[there].flatten(0, -2)
