"""Cholesky factors of Gram matrices, also of those that are positive definite on paper only."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_JITTERS: Final = tuple(10.0**power for power in range(-7, 1))
"""Parts of the largest diagonal entry that are tried in turn where the plain factor fails."""


def cholesky(matrix: Tensor) -> Tensor:
    """Return the lower Cholesky factor of a symmetric matrix [n, n].

    Where rounding leaves the matrix not positive definite (activations so small that their squares
    vanish beside the column of ones), the least jitter on the diagonal that mends it is added.
    Raises RuntimeError as :func:`torch.linalg.cholesky` does if none does: a matrix with NaN.
    """
    factor, failed = _try(matrix)
    if not failed:
        return factor
    scale = matrix.diagonal().abs().max().clamp_min(torch.finfo(matrix.dtype).tiny)
    for jitter in _JITTERS:
        mended = matrix.clone()
        mended.diagonal().add_(jitter * scale)
        factor, failed = _try(mended)
        if not failed:
            return factor
    result: Tensor = torch.linalg.cholesky(matrix)
    return result


def principal(matrix: Tensor, index: Tensor) -> Tensor:
    """Return the rows and columns ``index`` of a square matrix; a view where they come first."""
    count = len(index)
    if index.equal(torch.arange(count, device=index.device)):
        return matrix[:count, :count]
    return matrix.index_select(0, index).index_select(1, index)


def _try(matrix: Tensor) -> tuple[Tensor, bool]:
    factor, info = torch.linalg.cholesky_ex(matrix)
    return factor, bool(info)
