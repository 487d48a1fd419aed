"""Evaluator of plans: slices, repairs, moves batch statistics, runs the search split in memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.data import Samples
from autoprune.data.task import Batch, PerSampleTask, SplitScoredTask, Task
from autoprune.foundation.user_code import blamed
from autoprune.networks.batches import Batches
from autoprune.networks.execution import (
    Form,
    Precision,
    device_of,
    fastest_form,
    forward,
    keep_memory,
    laid_out,
    move,
)
from autoprune.networks.folding import find_foldable, folded, pairs_in
from autoprune.networks.frozen import frozen_parameters
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.racing import RacingConfig, Subsample
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.recalibration import Recalibration
from autoprune.ranking.reconstruction import Reconstruction, ReconstructionConfig
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Structure

CPU_BATCH, BATCH = 128, 1024
"""Samples per forward pass: few on a CPU, whose cache has to hold the activations."""

TOLERANCE = 0.01
"""Largest difference of score, and relative difference of loss, that bfloat16 may cause."""

_CODE_WANTS_MULTIPLES = "if its code wants multiples of some number, pass that: --align 4"

Entry = tuple[Plan, Tensor | None]
"""A plan, and the losses and scores [2, samples] of the one that it races against, if any."""

Outcome = tuple[Evaluation, Tensor | None]
"""The evaluation, and losses and scores [2, samples] of a plan that others can race against."""


@dataclass(frozen=True, eq=False)
class EvaluatorParts:
    """Arguments of an evaluator, which can be sent to another process.

    ``search``: the split that plans are scored on, or of which a weighted subsample is used
    (:mod:`autoprune.problem.racing`). ``calibration``: samples by which batch statistics are moved
    (:mod:`autoprune.ranking.recalibration`; 128 are enough). ``fit``: settings by which every
    network is fitted to the dense one layer after layer, before it is scored, on these samples;
    None leaves that out.
    """

    model: nn.Module
    structure: Structure
    ranking: Ranking
    task: Task
    search: Samples
    calibration: Samples
    racing: RacingConfig = field(default_factory=RacingConfig)
    fit: ReconstructionConfig | None = None


class Evaluator:
    """Evaluator of plans of one model, which is never changed; deterministic.

    ``precision`` is ``float32``, ``bfloat16``, or ``auto``, which takes bfloat16 where the device
    is faster with it and the dense model scores the same to within TOLERANCE; ``form`` holds the
    choice. ``batch_size``: samples per forward pass, by default CPU_BATCH or BATCH. ``held``: most
    bytes of the search split that are held ready, by default that of :class:`Batches`.
    """

    def __init__(
        self,
        parts: EvaluatorParts,
        *,
        precision: Precision = "auto",
        batch_size: int | None = None,
        held: int | None = None,
    ) -> None:
        keep_memory()
        self.parts, self.ranking, self.task = parts, parts.ranking, parts.task
        self._slicer = Slicer(parts.model, parts.structure)
        net, task, search = self._slicer({}), parts.task, parts.search
        size = batch_size or (CPU_BATCH if device_of(net).type == "cpu" else BATCH)
        self.form, dense = _exact_enough_form(net, task, search, precision, size)
        # The score of a whole split needs it: of a rare class, a subsample holds hardly any.
        divisible = isinstance(task, PerSampleTask) and not isinstance(task, SplitScoredTask)
        self._subsample = Subsample.draw(dense, parts.racing) if divisible else None
        seen = search.rows(self._subsample.order) if self._subsample else search
        self._search = Batches(seen, size, net, self.form, held=held)
        samples = Batches(parts.calibration, size, net, self.form, seed=0)
        frozen = frozen_parameters(parts.model)  # the shell has no gradients
        self._recalibrate = Recalibration(net, task, samples, frozen)
        names = {module: name for name, module in net.named_modules()}
        pairs = find_foldable(net, task, move(_few(search), device_of(net)))
        self._pairs = [(names[pair.conv], names[pair.norm]) for pair in pairs]
        self._fit = (
            Reconstruction(parts.model, self._slicer, task, parts.calibration, parts.fit)
            if parts.fit
            else None
        )

    @property
    def races(self) -> bool:
        """Whether plans may be given up before they have run on all samples."""
        return self._subsample is not None

    def __call__(self, plan: Mapping[str, int]) -> Evaluation:
        """Score ``plan`` on the search split: mean score, mean loss, seconds taken.

        Raises UsageError if the model's code fails at this size.
        """
        return self.race((Plan.of(plan), None))[0]

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Score plans completely, one after another; see :class:`autoprune.problem.scorer.Scorer`.

        A :class:`autoprune.problem.pool.ScorerPool` lets them race.
        """
        return map(self, plans)

    def race(self, entry: Entry) -> Outcome:
        """Score a plan, or give it up when it falls behind another; raises what a call raises."""
        plan, best = entry
        start = time.perf_counter()
        with blamed("the network does not run on fewer units", _CODE_WANTS_MULTIPLES):
            net = self._network(plan)
            with laid_out(net, self.form):
                if self._fit is None:
                    self._recalibrate(net)
                with folded(pairs_in(net, self._pairs)):
                    evaluation, seen = self._run(net, best)
        return replace(evaluation, seconds=time.perf_counter() - start), seen

    def _network(self, plan: Plan) -> nn.Module:
        """Return the compact network of a plan, fitted if that was asked for."""
        kept, weights = self.ranking.kept(plan), self.ranking.weights(plan)
        if self._fit is not None:
            return self._fit(kept, weights).eval()
        return self._slicer(kept, weights | self._recalibrate.references)

    def _run(self, net: nn.Module, best: Tensor | None) -> Outcome:
        subsample = self._subsample
        if subsample is None:
            whole = self.task if isinstance(self.task, SplitScoredTask) else None
            rows: list[Tensor] = []
            loss, score = map(float, _measure(net, self.task, self._search, rows).mean(1))
            return Evaluation(whole.score_of(torch.cat(rows)) if whole else score, loss), None
        seen = torch.empty(2, 0, dtype=torch.float64)
        stops = deque(subsample.stops if best is not None else ())
        for more in _per_sample(net, self.task, self._search):
            seen = torch.cat((seen, more), dim=1)
            if best is not None and stops and seen.shape[1] >= stops[0]:
                stops.popleft()
                if lost := subsample.behind(seen, best):
                    loss, doubt, score = lost
                    return Evaluation(score, loss, doubt=doubt), None
        loss, score = map(float, subsample.estimate(seen))
        return Evaluation(min(max(score, 0.0), 1.0), loss), seen


def _measure(
    model: nn.Module, task: Task, batches: Batches, evidence: list[Tensor] | None = None
) -> Tensor:
    """Return loss and score of each sample, float64 [2, samples], of a model in eval mode."""
    return torch.cat(list(_per_sample(model, task, batches, evidence)), dim=1)


@torch.inference_mode()
def _per_sample(
    model: nn.Module, task: Task, batches: Batches, evidence: list[Tensor] | None = None
) -> Iterator[Tensor]:
    """Yield loss and score of each sample of a batch, [2, B]; append its ``evidence``.

    The loss is the mean of the batch unless the task is a ``PerSampleTask``.
    """
    for batch in batches:
        outputs = forward(model, task, batch, batches.form)
        if isinstance(task, SplitScoredTask):  # no sample has a score of its own
            scores = torch.zeros(len(tree_leaves(batch)[0]), dtype=torch.float64)
            if evidence is not None:
                evidence.append(task.evidence(outputs, batch).cpu())
        else:
            scores = task.score(outputs, batch).double().cpu()
        if isinstance(task, PerSampleTask):
            losses = task.losses(outputs, batch)
        else:
            losses = task.loss(outputs, batch)
        yield torch.stack((losses.double().cpu().expand_as(scores), scores))


def _exact_enough_form(
    model: nn.Module, task: Task, search: Samples, precision: Precision, size: int
) -> tuple[Form, Tensor]:
    """Return the form, and loss and score of the dense model on each sample, [2, samples]."""
    form = fastest_form(model, task, _few(search), precision)
    dense = _measure(model, task, Batches(search, size, model, form))
    if precision != "auto" or not form.bfloat16:
        return form, dense
    plain = fastest_form(model, task, _few(search), "float32")
    sample = search.take(1024)
    exact = _measure(model, task, Batches(sample, size, model, plain)).mean(1)
    apart = (dense[:, : len(sample)].mean(1) - exact).abs()
    if apart[1] <= TOLERANCE and apart[0] <= TOLERANCE * max(float(exact[0].abs()), TOLERANCE):
        return form, dense
    return plain, _measure(model, task, Batches(search, size, model, plain))


def _few(split: Samples) -> Batch:
    return next(iter(split.take(2).batches(2)))
