"""Lasso ranking of units (He et al. 2017, arXiv:1707.06168), from Gram matrices."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path_gram
from torch import Tensor

from autoprune.ranking.gram import Moments
from autoprune.ranking.regression import energies
from autoprune.ranking.repair import damped
from autoprune.structure.table import Structure


def lasso_orders(
    moments: Sequence[Moments], energy: Mapping[str, float], structure: Structure
) -> dict[str, Tensor]:
    """Order every group that has consumers by the lasso path; see :func:`lasso_order`."""
    del energy, structure  # of a consumer read in parts, a group counts its own part only
    names = dict.fromkeys(name for item in moments for name in item.consumer.groups)
    return {
        name: lasso_order(name, [item for item in moments if name in item.consumer.groups])
        for name in names
    }


def lasso_order(group: str, moments: Sequence[Moments]) -> Tensor:
    """Order a group's units [size] by the lasso path, those that enter first first.

    The path solves (eq. 1 to 3, one coefficient b_i per unit, Z_i = X_i W_i its part of the output)

        min_b  1/2 |Y - sum_i b_i Z_i|^2 + penalty |b|_1

    for falling penalties. Several consumers add up, each divided by the variance of its output.
    Units that never enter come last, by index.
    """
    energy = energies(moments)
    products = [
        unit_products(one, group).double().cpu() / energy[one.consumer.tensor] for one in moments
    ]
    return _path(torch.stack(products).sum(0))


def unit_products(moments: Moments, group: str) -> Tensor:
    """Return the inner products Z_i . Z_j / rows = tr(W_i' G_ij W_j), [size, size].

    Both are centered if the consumer has a bias, since that takes up their means.
    """
    index = moments.consumer.groups[group].to(moments.gram.device)
    own = index.ravel()
    gram, weights = damped(moments)
    part = gram[own[:, None], own]
    if moments.consumer.bias:
        mean = gram[own, -1]
        part = part - torch.outer(mean, mean)
    size, block = index.shape
    inner = part * (weights[own] @ weights[own].mT)
    return inner.view(size, block, size, block).sum((1, 3))


def _path(products: Tensor) -> Tensor:
    size = len(products)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # units that equal others drop out
        _, _, coefficients = lars_path_gram(
            products.sum(1).numpy(),
            products.numpy(),
            n_samples=1,
            max_iter=8 * size,
            method="lasso",
        )
    active = torch.from_numpy(coefficients != 0)
    entered = torch.where(active.any(1), active.int().argmax(1), active.shape[1])
    return entered.sort(stable=True).indices
