"""Bitmaps of sparse tensors in a weights file, stored beside the values that stay.

A tensor ``name`` of any shape becomes ``name``, its kept values in row-major order, and
``name.bitmap``, uint8 [ceil(n / 8)], one bit for each of its n places, least significant bit first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

from autoprune.errors import DamagedError

BITMAP: Final = ".bitmap"


def pack(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store the tensors that have a mask sparsely, the others as they are."""
    packed = dict(tensors)
    for name, mask in masks.items():
        places = mask.flatten().cpu()
        packed[name] = tensors[name].flatten()[places]
        packed[name + BITMAP] = torch.from_numpy(np.packbits(places.numpy(), bitorder="little"))
    return packed


def unpack(
    packed: Mapping[str, Tensor], names: Iterable[str], shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Undo :func:`pack` for the tensors of those names; removed weights are zero.

    ``shapes`` are those of the network. Raises DamagedError for whatever ``pack`` did not write.
    """
    tensors = dict(packed)
    for name in names:
        values, bitmap = tensors.get(name), tensors.pop(name + BITMAP, None)
        if values is None or bitmap is None or name not in shapes:
            raise DamagedError(f"the weights lack the sparse tensor {name!r}")
        size = shapes[name].numel()
        if bitmap.dtype != torch.uint8 or bitmap.shape != (-(-size // 8),):
            raise DamagedError(f"the bitmap of {name!r} does not fit its shape")
        bits = np.unpackbits(bitmap.numpy(), count=size, bitorder="little")
        places = torch.from_numpy(bits).bool()
        if values.shape != (int(places.sum()),):
            raise DamagedError(f"{name!r} holds another number of values than its bitmap says")
        tensors[name] = torch.zeros(size, dtype=values.dtype)
        tensors[name][places] = values
        tensors[name] = tensors[name].view(shapes[name])
    return tensors
