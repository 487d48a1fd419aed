"""Padding: the places of a batch of text that hold no token, in encoder and decoder.

Values at such places are whatever the network makes of nothing. While a batch is run its mask is
known here, so that whoever listens to values on the way leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import torch
from torch import Tensor

MASKS: Final = ("attention_mask", "decoder_attention_mask")
"""Arguments that say which places hold a token, [B, T] each; T may differ."""

Tokens = tuple[Tensor, ...]
"""Which places hold a token, bool [B, T], of every mask that leaves any out; no shape twice."""

_current: ContextVar[Tokens] = ContextVar("tokens", default=())


def tokens_of(arguments: Mapping[str, Any]) -> Tokens:
    """Return which places hold a token; nothing where all do, or nothing says so.

    A value does not tell whether it is the encoder's or the decoder's. Where both have as many
    places, those count that hold a token in both.
    """
    found: dict[torch.Size, Tensor] = {}
    for name in MASKS:
        mask = arguments.get(name)
        if isinstance(mask, Tensor) and mask.dim() == 2:
            there = mask != 0
            found[mask.shape] = there & found.get(mask.shape, there)
    return tuple(there for there in found.values() if not bool(there.all()))


@contextmanager
def padded(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Know the tokens of a batch while it is run."""
    token = _current.set(tokens_of(arguments))
    try:
        yield
    finally:
        _current.reset(token)


def tokens_in(value: Tensor, tokens: Tokens | None = None) -> Tensor | None:
    """Return which of the first places of a value hold a token: bool [B, T] or [B T].

    ``value`` is [B, T, ...] or [B T, ...]; None for values of another form, and where all do.
    ``tokens`` are those of the batch that is run, unless they are given.
    """
    for there in _current.get() if tokens is None else tokens:
        if value.dim() > 2 and value.shape[:2] == there.shape:
            return there
        if value.dim() == 2 and len(value) == there.numel() and there.shape[1] > 1:
            return there.flatten()
    return None


def rows_of(value: Tensor) -> Tensor:
    """Return the rows [rows, units] of a value [..., units], without those of padding."""
    there = tokens_in(value)
    return value.reshape(-1, value.shape[-1]) if there is None else value[there].flatten(0, -2)
