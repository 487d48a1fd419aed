"""Bitmaps: of sparse tensors in a weights file, and of the masks in a file of their own.

A tensor ``name`` of any shape becomes ``name``, its kept values in row-major order, and
``name.bitmap``, uint8 [ceil(n / 8)], one bit for each of its n places, least significant bit first.
A mask ``name`` becomes such a ``name.bitmap``, and ``name.shape``, its shape as int64 [dimensions].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

from autoprune.errors import DamagedError

BITMAP: Final = ".bitmap"
SHAPE: Final = ".shape"


def pack(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store the tensors that have a mask sparsely, the others as they are."""
    packed = dict(tensors)
    for name, mask in masks.items():
        packed[name] = tensors[name].flatten()[mask.flatten().cpu()]
        packed[name + BITMAP] = _bits(mask)
    return packed


def pack_masks(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return bool tensors as bitmaps and shapes: an eighth of their bytes."""
    packed = {name + BITMAP: _bits(mask) for name, mask in masks.items()}
    return packed | {name + SHAPE: torch.tensor(mask.shape).long() for name, mask in masks.items()}


def unpack_masks(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`pack_masks`; tensors without a bitmap, a byte for each place, are taken as bools.

    Raises DamagedError for whatever ``pack_masks`` did not write.
    """
    masks = {}
    for key, tensor in packed.items():
        name = key.removesuffix(BITMAP)
        if key.removesuffix(SHAPE) + BITMAP in packed and key.endswith(SHAPE):
            continue
        if name == key or name + SHAPE not in packed:
            masks[key] = tensor.bool()
            continue
        shape = packed[name + SHAPE]
        if shape.dtype != torch.int64 or shape.ndim != 1 or bool((shape < 0).any()):
            raise DamagedError(f"the shape of the mask {name!r} is none")
        masks[name] = _places(name, tensor, torch.Size(shape.tolist())).view(shape.tolist())
    return masks


def _bits(mask: Tensor) -> Tensor:
    places = mask.flatten().cpu().numpy()
    return torch.from_numpy(np.packbits(places, bitorder="little"))


def _places(name: str, bitmap: Tensor, shape: torch.Size) -> Tensor:
    """Return which of the places of a tensor are set, bool [n]."""
    size = math.prod(shape)
    if bitmap.dtype != torch.uint8 or bitmap.shape != (-(-size // 8),):
        raise DamagedError(f"the bitmap of {name!r} does not fit its shape")
    return torch.from_numpy(np.unpackbits(bitmap.numpy(), count=size, bitorder="little")).bool()


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
        places = _places(name, bitmap, shapes[name])
        if values.shape != (int(places.sum()),):
            raise DamagedError(f"{name!r} holds another number of values than its bitmap says")
        tensors[name] = torch.zeros(len(places), dtype=values.dtype)
        tensors[name][places] = values
        tensors[name] = tensors[name].view(shapes[name])
    return tensors
