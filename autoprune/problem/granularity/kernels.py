"""Sparse kernels for masks: PyTorch's semi-structured kernels, where a device has them.

The kernels multiply linear layers whose weight is 2:4 throughout, in half precision, on GPUs of
compute capability 8.0 and later (``torch.sparse.to_sparse_semi_structured``; Mishra et al. 2021,
arXiv:2104.08378). Convolutions have none in PyTorch.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from autoprune.errors import UsageError
from autoprune.problem.granularity.parse import Granularity

PATTERN: Final = (2, 4)
CAPABILITY: Final = (8, 0)
HALVES: Final = (torch.float16, torch.bfloat16)


def remarks(granularity: Granularity, device: torch.device) -> tuple[str, ...]:
    """Return remarks for users on the speed of a masked network on a device; none for channels."""
    if not granularity.masked:
        return ()
    if granularity.block == PATTERN and has_kernels(device):
        return (
            "measured with masked float32 weights; autoprune.semi_structured(model.half()) runs the"
            " linear layers that are 2:4 throughout on this GPU's sparse kernels",
        )
    return (
        f"{granularity} masks weights and removes none: {device} computes with the zeros, so time"
        " stays; MACs count the weights that are left, the file holds them and a bitmap",
    )


def has_kernels(device: torch.device) -> bool:
    """Whether PyTorch has kernels for 2:4 on a device."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= CAPABILITY


def is_semi_structured(weight: Tensor) -> bool:
    """Whether at most 2 of every 4 weights along the inputs are not zero; [outputs, inputs]."""
    n, m = PATTERN
    if weight.dim() != 2 or weight.shape[1] % m:
        return False
    return bool(((weight.reshape(-1, m) != 0).sum(1) <= n).all())


def semi_structured(model: nn.Module) -> tuple[str, ...]:
    """Convert the 2:4 linear layers of a half-precision network to sparse kernels, in place.

    Returns the paths of the layers; others, such as those of sizes that the kernels do not support,
    are left as they are. Raises UsageError if the device has no such kernels, or the network is not
    in half precision.
    """
    converted = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.Linear) or not is_semi_structured(module.weight.detach()):
            continue
        weight = module.weight.detach()
        if not has_kernels(weight.device):
            raise UsageError(
                f"no kernels for 2:4 on {weight.device}", "they need a GPU of capability 8.0"
            )
        if weight.dtype not in HALVES:
            raise UsageError("the kernels for 2:4 take half precision", "model.half() first")
        try:
            sparse = to_sparse_semi_structured(weight)
        except (RuntimeError, ValueError):  # rows or columns that do not fill a tile
            continue
        module.weight = nn.Parameter(sparse, requires_grad=False)
        converted.append(path)
    return tuple(converted)
