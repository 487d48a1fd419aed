"""How far weights inside and outside a ticket move in the dense training, layer by layer.

Frankle and Carbin 2019, appendix F.5, find that the weights of a ticket move more than others do.
That says little by itself: a ticket is made of weights that ended large, and large ones began
large. So every weight inside is also paired with one outside whose initial magnitude is next to
its own (``matched``), and the same is asked of a mask made of the weights that began largest
(``largest_first``). What neither control takes away is that the mask was drawn from where this very
training ended; a training on other batches does (``twin``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.ticket import Weights
from autoprune.foundation.schema import encode_fields

BINS = 40
"""Bars of a histogram of distances."""


@dataclass(frozen=True)
class Motion:
    """What became of some weights.

    - ``initial``: mean magnitude before training; ``moved``: mean |w_end - w_start|.
    - ``grew``: part of them that ended with a larger magnitude; ``sign``: part that kept its sign.
    """

    initial: float
    moved: float
    grew: float
    sign: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)


def motion(before: Tensor, after: Tensor) -> Motion | None:
    """Return what became of weights, None if there are none; both of one shape."""
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
    """Return, by layer, what became of the weights inside and outside a mask, and of the controls.

    ``before`` and ``after`` are the dense network's weights at the start and end of its training,
    ``twin`` those at the end of another.
    """
    found = {}
    largest = _largest(before, masks)
    for name, mask in masks.items():
        if mask.all():
            continue
        start, end = before[name], after[name]
        near = nearest(start[mask], start[~mask])
        found[name] = {
            "inside": motion(start[mask], end[mask]),
            "outside": motion(start[~mask], end[~mask]),
            "matched": motion(start[~mask][near], end[~mask][near]),
            "largest_first": motion(start[largest[name]], end[largest[name]]),
        }
        if twin is not None:
            other = twin[name]
            found[name]["twin_inside"] = motion(start[mask], other[mask])
            found[name]["twin_matched"] = motion(start[~mask][near], other[~mask][near])
    return found


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
    """Return ``edges`` [BINS + 1] and how many weights moved so far, ``inside`` and ``outside``."""
    far = (after.double() - before.double()).abs()
    top = float(far.max()) or 1.0
    edges = torch.linspace(0, top, BINS + 1, dtype=torch.float64)
    inside, outside = (torch.histogram(far[part], edges).hist.tolist() for part in (mask, ~mask))
    return {"edges": edges.tolist(), "inside": inside, "outside": outside}


def _largest(before: Weights, masks: Mapping[str, Tensor]) -> m.Masks:
    """Keep as many weights of every layer, those that began largest."""
    found = {}
    for name, mask in masks.items():
        flat = torch.zeros(mask.numel(), dtype=torch.bool)
        flat[before[name].abs().flatten().topk(int(mask.sum())).indices] = True
        found[name] = flat.view_as(mask)
    return found
