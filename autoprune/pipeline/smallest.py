"""The smallest network that loses no more than so many points: ``--max-drop``.

Budgets on one cost are bisected. At each the same agent searches, and the network is made as it
would be delivered; what it loses is counted on the validation split, sample by sample beside the
dense network. The test split is read once, for the network that is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Final

import numpy as np
import torch
from torch import nn

from autoprune.data.task import SplitScoredTask
from autoprune.errors import InfeasibleError
from autoprune.foundation.statistics import estimate
from autoprune.networks.score import sample_scores
from autoprune.pipeline.delivery import Delivery, Find, Searched, conclude
from autoprune.pipeline.execute import session_in
from autoprune.pipeline.own_stages import evaluated
from autoprune.pipeline.result import Drop, Probe, Result
from autoprune.pipeline.searches import Searches
from autoprune.pipeline.session import Session
from autoprune.pipeline.stages import pose, train

RESOLUTION: Final = 0.02
"""Part of the dense cost to which the smallest budget is found."""

FORESEEN: Final = 6
"""Budgets that a bisection tries, about."""

DRAWS: Final = 200
"""Draws of the bootstrap of a score that is no mean over samples."""

Lost = Callable[[nn.Module], tuple[float, float | None]]
"""From a network to the points that it loses, and half the width of their 95 % interval."""


def smallest(find: Find[Searched], session: Session[Searched]) -> Result:
    """Find the smallest network that loses no more than ``max_drop`` points, and deliver it.

    Raises InfeasibleError if there is none.
    """
    config, model = session.config, train(session)
    searches = Searches(find, session, model, pose(session, model), FORESEEN)
    lost, unit, most = loss_counter(session, model), config.minimized, config.max_drop or 0.0
    (limit,) = session.budget.constraints
    least = limit.cost.at(session.budget.smallest) / limit.cost.dense
    probes: list[Probe] = []
    found: tuple[Session[Searched], Delivery] | None = None
    low, high = least, 1.0
    while high - low > RESOLUTION:
        # Rounded up: what is asked for is reached.
        text = f"{ceil((low + high) / 2 * 10**4) / 10**4:g}{unit}"
        fraction = float(text.removesuffix(unit))
        try:
            with searches.opened(text) as site, session_in(*site) as inner:
                made = searches.deliver(inner)
        except InfeasibleError as error:  # measured, no network is as fast as that
            session.progress.note(f"{text}: {error.message}")
            low = fraction
            continue
        points, margin = lost(made.finetuned)
        cost = limit.cost.at(inner.budget.counts(made.plan)) / limit.cost.dense
        probes.append(Probe(text, cost, points, margin, held=points <= most))
        _tell(session, probes[-1])
        if probes[-1].held:
            found, high = (inner, made), min(fraction, cost)
        else:
            low = fraction
    if found is None:
        raise _none(probes, most, unit)
    inner, made = found
    said = session.run.warnings
    said.extend(text for text in inner.run.warnings if text not in said)
    asked = replace(inner.config, baseline=config.baseline, beside=config.beside)
    own = replace(session, setup=inner.setup, config=asked)
    total = sum(len(one.trials) for one in searches.explored)
    result = conclude(own, model, replace(made, evaluations=total))
    return replace(result, drop=Drop(most, unit, tuple(probes)))


def loss_counter(session: Session[Searched], dense: nn.Module) -> Lost:
    """Return what counts the points that a network loses beside the dense one, on validation.

    Sample by sample, as both see the same ones. By the caller's function if there is one, which
    says nothing of samples: then there is no interval.
    """
    split, task = session.inputs.validation, session.inputs.task
    evaluate, seed = session.own.evaluate, session.seeds.searcher
    if evaluate is not None:
        whole = evaluated(dense, evaluate, seed).score
        return lambda network: (100 * (whole - evaluated(network, evaluate, seed).score), None)
    before = sample_scores(dense, split, task)

    def lost(network: nn.Module) -> tuple[float, float | None]:
        after = sample_scores(network, split, task)
        if isinstance(task, SplitScoredTask):
            return _lost_of_split(task, before, after)
        found = estimate((100 * (before - after)).tolist())
        return found.mean, found.margin if np.isfinite(found.margin) else None

    return lost


def _lost_of_split(
    task: SplitScoredTask, before: torch.Tensor, after: torch.Tensor
) -> tuple[float, float | None]:
    """Return points lost and the margin by a bootstrap over rows of evidence (Efron 1979).

    None where the rows of the two networks are not those of the same samples.
    """
    points = 100 * (task.score_of(before) - task.score_of(after))
    if len(before) != len(after):
        return points, None
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(len(before), (len(before),), generator=generator) for _ in range(DRAWS)]
    apart = [100 * (task.score_of(before[rows]) - task.score_of(after[rows])) for rows in drawn]
    return points, 1.96 * float(np.std(apart))


def _tell(session: Session[Searched], probe: Probe) -> None:
    verdict = "held" if probe.held else "too much"
    session.progress.note(f"{probe.budget}: {probe.said} lost on validation, {verdict}")


def _none(probes: list[Probe], most: float, unit: str) -> InfeasibleError:
    if not probes:
        return InfeasibleError(
            f"no network was found that is smaller than the dense one by {unit}",
            "minimize another cost with --minimize",
        )
    last = probes[-1]
    return InfeasibleError(
        f"even {last.budget} loses {last.said} on validation, more than --max-drop {most:g}",
        "allow more, or let more be won back: --match 5, --finetune-epochs 30",
    )
