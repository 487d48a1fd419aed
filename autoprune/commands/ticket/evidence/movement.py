"""Movement of weights inside and outside a ticket in the dense training, layer by layer.

Frankle and Carbin 2019, appendix F.5, find that the weights of a ticket move more than others do.
That says little by itself: a ticket consists of weights that are large at the end, and most of
these were large at the start. Therefore every weight inside is also paired with one outside of
nearly the same initial magnitude (``matched``), and the same figures are taken of a mask of the
weights that were largest at the start (``largest_first``). Both controls share a bias: the mask was
drawn from the end of this very training. A training on other batches removes it (``twin``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autoprune.commands.ticket.masks import Masks
from autoprune.commands.ticket.ticket import Weights
from autoprune.foundation.schema import encode_fields

BINS = 40
"""Bars of a histogram of distances."""


@dataclass(frozen=True)
class Motion:
    """Movement of a set of weights, as means.

    - ``initial``: mean magnitude before training; ``moved``: mean |w_end - w_start|.
    - ``grew``: fraction that ended with a larger magnitude; ``sign``: fraction that kept its sign.
    """

    initial: float
    moved: float
    grew: float
    sign: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)


def motion(before: Tensor, after: Tensor) -> Motion | None:
    """Return the movement of weights, None if there are none; both tensors have one shape."""
    if not before.numel():
        return None
    before, after = before.double(), after.double()
    return Motion(
        float(before.abs().mean()),
        float((after - before).abs().mean()),
        float((after.abs() > before.abs()).double().mean()),
        float((after.sign() == before.sign()).double().mean()),
    )


def movement(
    before: Weights, after: Weights, masks: Mapping[str, Tensor], twin: Weights | None = None
) -> dict[str, dict[str, Motion | None]]:
    """Return, by layer, the movement of the weights inside and outside a mask, and of the controls.

    ``before`` and ``after`` are the dense network's weights at the start and end of its training,
    ``twin`` those at the end of another training.
    """
    by_layer = {}
    largest = _largest(before, masks)
    for name, mask in masks.items():
        if mask.all():
            continue
        start, end = before[name], after[name]
        near = nearest(start[mask], start[~mask])
        by_layer[name] = {
            "inside": motion(start[mask], end[mask]),
            "outside": motion(start[~mask], end[~mask]),
            "matched": motion(start[~mask][near], end[~mask][near]),
            "largest_first": motion(start[largest[name]], end[largest[name]]),
        }
        if twin is not None:
            other = twin[name]
            by_layer[name]["twin_inside"] = motion(start[mask], other[mask])
            by_layer[name]["twin_matched"] = motion(start[~mask][near], other[~mask][near])
    return by_layer


def nearest(values: Tensor, among: Tensor) -> Tensor:
    """For each of ``values`` [n], return the index of the entry of ``among`` nearest in magnitude.

    An entry may serve several times.
    """
    order = among.abs().argsort(stable=True)
    ladder, wanted = among.abs()[order], values.abs()
    above = torch.searchsorted(ladder, wanted).clamp(max=len(ladder) - 1)
    below = (above - 1).clamp(min=0)
    closer = (wanted - ladder[below]).abs() < (ladder[above] - wanted).abs()
    return order[torch.where(closer, below, above)]


def histogram(before: Tensor, after: Tensor, mask: Tensor) -> dict[str, list[float]]:
    """Return ``edges`` [BINS + 1] of distances, and counts ``inside`` and ``outside`` [BINS]."""
    far = (after.double() - before.double()).abs()
    top = float(far.max()) or 1.0
    edges = torch.linspace(0, top, BINS + 1, dtype=torch.float64)
    inside, outside = (torch.histogram(far[part], edges).hist.tolist() for part in (mask, ~mask))
    return {"edges": edges.tolist(), "inside": inside, "outside": outside}


def _largest(before: Weights, masks: Mapping[str, Tensor]) -> Masks:
    """Return masks that keep as many weights of every layer, those that were largest at first."""
    largest = {}
    for name, mask in masks.items():
        flat = torch.zeros(mask.numel(), dtype=torch.bool)
        flat[before[name].abs().flatten().topk(int(mask.sum())).indices] = True
        largest[name] = flat.view_as(mask)
    return largest
