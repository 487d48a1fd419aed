"""Analysis of the stored tickets of iterative pruning: movement, overlap, barriers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from autoprune.commands.ticket.evidence.movement import Motion, movement
from autoprune.commands.ticket.jobs import Records, folder
from autoprune.commands.ticket.masks import kept_by_layer, kept_fraction, mask_overlap
from autoprune.commands.ticket.studies.iterative import Iterative
from autoprune.commands.ticket.ticket import Ticket, require_fit
from autoprune.commands.ticket.training.experiment import TWIN
from autoprune.foundation.statistics import estimate

FORMAT = 1


def analysis(study: Iterative, home: Path, records: Records) -> dict[str, Any]:
    """Return, for every pruned level, means over seeds.

    - ``movement``: by layer and set of weights, in the dense training
      (:func:`autoprune.commands.ticket.evidence.movement.movement`).
    - ``overlap_of_seeds``: overlap of the tickets of two seeds, beside ``chance``, by layer.
    - ``barrier`` (with a twin): error barrier between trainings on two orders of the data.
    """
    dense = {seed: Ticket.load(folder(home, seed, study.name(0))) for seed in study.seeds}
    for ticket in dense.values():
        require_fit(ticket.trained, ticket.masks, "the trained weights of the dense network")
    twins = {
        seed: Ticket.load(folder(home, seed, study.twin(0))).trained
        for seed in study.seeds
        if TWIN in study.controls
    }
    levels = []
    for level in range(1, study.levels + 1):
        tickets = {seed: Ticket.load(folder(home, seed, study.name(level))) for seed in study.seeds}
        movements = [
            movement(dense[seed].rewound, dense[seed].trained, ticket.masks, twins.get(seed))
            for seed, ticket in tickets.items()
        ]
        entry = {
            "level": level,
            "remaining": round(kept_fraction(tickets[study.seeds[0]].masks), 6),
            "movement": _averaged(movements),
            "overlap_of_seeds": _overlaps([ticket.masks for ticket in tickets.values()]),
        }
        levels.append(entry | _barrier(study, level, records))
    dense_barrier = _barrier(study, 0, records)
    return {"format": FORMAT, "barrier_dense": dense_barrier.get("barrier"), "levels": levels}


def _averaged(
    seeds: Sequence[dict[str, dict[str, Motion | None]]],
) -> dict[str, dict[str, dict[str, float] | None]]:
    """Return means over seeds; None for sets of weights that are empty in a seed."""

    def mean(layer: str, part: str) -> dict[str, float] | None:
        known = [motion for seed in seeds if (motion := seed[layer][part]) is not None]
        if len(known) < len(seeds):
            return None
        data = [motion.to_json() for motion in known]
        return {name: round(fmean(figures[name] for figures in data), 6) for name in data[0]}

    layers = [layer for layer in seeds[0] if all(layer in seed for seed in seeds)]
    return {layer: {part: mean(layer, part) for part in seeds[0][layer]} for layer in layers}


def _overlaps(masks: Sequence[Mapping[str, Tensor]]) -> dict[str, dict[str, float]] | None:
    """Return the mean overlap over pairs, by layer, beside the overlap of two random masks."""
    pairs = list(combinations(masks, 2))
    if not pairs:
        return None
    return {
        name: {
            "overlap": fmean(mask_overlap({name: a[name]}, {name: b[name]}) for a, b in pairs),
            "chance": share,
        }
        for name, share in kept_by_layer(masks[0]).items()
    }


def _barrier(study: Iterative, level: int, records: Records) -> dict[str, Any]:
    if TWIN not in study.controls:
        return {}
    heights = [records[study.name(level), seed, TWIN]["barrier"]["height"] for seed in study.seeds]
    return {"barrier": estimate(heights).to_json()}
