"""Packed sequences, which cannot be exported: traced as the padded ones they stand for.

Packing leaves out the padding of short sequences. It changes values, not which layer reads which
units, so a graph of the padded sequences has the same structure. Proofs run the real thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import _VF, Tensor, nn
from torch.nn.utils import rnn


@contextmanager
def padded_sequences() -> Iterator[None]:
    """Let packing keep the padding, and recurrent layers take such sequences.

    The data of a packed sequence are then [positions, batch, features].
    """
    layers: tuple[type[nn.RNNBase], ...] = (nn.RNN, nn.GRU, nn.LSTM)
    before = [layer.forward for layer in layers]
    try:
        vars(rnn)["_VF"] = _Padding()
        for layer, forward in zip(layers, before, strict=True):
            layer.forward = _forward(forward)
        yield
    finally:
        vars(rnn)["_VF"] = _VF
        for layer, forward in zip(layers, before, strict=True):
            layer.forward = forward


class _Padding:
    """Functions of ``torch._VF``, but for packing and its inverse."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_VF, name)

    def _pack_padded_sequence(
        self, value: Tensor, lengths: Tensor, batch_first: bool
    ) -> tuple[Tensor, Tensor]:
        data = value.transpose(0, 1) if batch_first else value
        return data, torch.full((data.shape[0],), data.shape[1])

    def _pad_packed_sequence(
        self, data: Tensor, sizes: Tensor, batch_first: bool, padding: float, length: int
    ) -> tuple[Tensor, Tensor]:
        lengths = torch.full((data.shape[1],), data.shape[0])
        return data.transpose(0, 1) if batch_first else data, lengths


def _forward(original: Callable[..., Any]) -> Callable[..., Any]:
    def forward(self: nn.RNNBase, value: Any, state: Any = None) -> Any:
        if not isinstance(value, rnn.PackedSequence):
            return original(self, value, state)
        data = value.data.transpose(0, 1) if self.batch_first else value.data
        found, state = original(self, data, state)
        found = found.transpose(0, 1) if self.batch_first else found
        return rnn.PackedSequence(found, *value[1:]), state

    return forward
