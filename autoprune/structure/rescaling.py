"""Queries of attention that divides by the root of a head's size: scaled when places of it go.

``scaled_dot_product_attention`` without ``scale=`` divides scores by sqrt(places of a head), read
off its input. What is left of a head is divided by less, so the rows that make its queries are
multiplied by sqrt(places left / places): the scores are those of the masked network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from autoprune.structure.table import Rescaled, Structure


@torch.no_grad()
def rescale(
    tensors: Mapping[str, Tensor],
    structure: Structure,
    kept: Mapping[str, Tensor],
    *,
    back: bool = False,
) -> None:
    """Scale the rows of queries in place, in tensors of the dense shape, for the units kept.

    ``back`` undoes it.
    """
    for one, factor in factors(structure, kept):
        tensors[one.tensor].data[list(one.rows)] *= 1 / factor if back else factor


def factors(structure: Structure, kept: Mapping[str, Tensor]) -> Iterator[tuple[Rescaled, float]]:
    """Yield the rows to scale, and by what, for the units that are kept of each group."""
    left = structure.sizes | {name: len(units) for name, units in kept.items()}
    for one in structure.rescaled:
        places, whole = one.size(left), one.size(structure.sizes)
        if 0 < places < whole:  # none are left in a branch that is gone
            yield one, math.sqrt(places / whole)
