"""Plans of a network evaluated as delivered, on three splits, and a journal of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from autoprune.data import Samples
from autoprune.data.classification import Classification
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, forward, laid_out
from autoprune.networks.folding import find_foldable, folded, pairs_in
from autoprune.pipeline.posing import Problem
from autoprune.pipeline.tuning import ScoredFitConfig
from autoprune.problem.evaluation import Evaluation
from autoprune.ranking.reconstruction import Reconstruction
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

SPLITS = ("search", "validation", "test")

BATCH = 128
"""Samples per forward pass."""


@dataclass(frozen=True)
class Measured:
    """Loss and score of a plan's network on each of ``SPLITS``."""

    losses: tuple[float, ...]
    scores: tuple[float, ...]


class Recorder:
    """Evaluates plans of a problem as delivered, and remembers them in a journal.

    ``samples``: the most of each split, the same ones every time. The network is fitted to the
    dense one layer after layer on so many training samples as the product does where it scores
    fitted networks (``ScoredFitConfig``).
    """

    def __init__(self, problem: Problem, samples: Sequence[int], journal: Path) -> None:
        inputs = problem.session.inputs
        if not isinstance(inputs.task, Classification):
            raise TypeError("tables are recorded for classification")
        self.problem, self.task, self.journal = problem, inputs.task, journal
        config = ScoredFitConfig()
        calibration = inputs.calibration(config.samples, problem.session.seeds)
        self._fit = Reconstruction(
            problem.model,
            Slicer(problem.model, problem.structure),
            self.task,
            calibration,
            config.reconstruction,
        )
        names = {module: name for name, module in problem.model.named_modules()}
        few = next(iter(inputs.search.take(2).batches(2)))
        pairs = find_foldable(problem.model, self.task, few)
        self._pairs = [(names[pair.conv], names[pair.norm]) for pair in pairs]
        splits: Sequence[Samples] = (inputs.search, inputs.validation, inputs.test)
        self._form = Form(channels_last=True)
        self._batches = [
            Batches(split.take(most), BATCH, problem.model, self._form)
            for split, most in zip(splits, samples, strict=True)
        ]
        self.sizes = tuple(
            min(most, len(split)) for split, most in zip(splits, samples, strict=True)
        )
        self.known = dict(read_journal(journal))

    def __call__(self, plan: Plan) -> Evaluation:
        """Return loss and score on the search split, from the journal if they are there."""
        found = self.known.get(plan)
        if found is None:
            weights = self.problem.ranking.weights(plan)
            found = self.measure(self._fit(self.problem.ranking.kept(plan), weights).eval())
            self.known[plan] = found
            with self.journal.open("a", encoding="utf-8") as stream:
                entry = [dict(plan), *found.losses, *found.scores]
                stream.write(json.dumps(entry) + "\n")
        return Evaluation(found.scores[0], found.losses[0])

    @torch.inference_mode()
    def measure(self, network: nn.Module) -> Measured:
        """Return mean loss and score of a network on the samples of each split."""
        losses, scores = [], []
        with laid_out(network, self._form), folded(pairs_in(network, self._pairs)):
            for batches in self._batches:
                loss, score = [], []
                for batch in batches:
                    outputs = forward(network, self.task, batch, self._form)
                    loss.append(self.task.losses(outputs, batch).double())
                    score.append(self.task.score(outputs, batch).double())
                losses.append(float(torch.cat(loss).mean()))
                scores.append(float(torch.cat(score).mean()))
        return Measured(tuple(losses), tuple(scores))


def read_journal(path: Path) -> Iterator[tuple[Plan, Measured]]:
    """Yield the plans of a journal; a line that a stopped recording left half is skipped."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.endswith("]"):
            kept, *values = json.loads(line)
            yield Plan.of(kept), Measured(tuple(values[:3]), tuple(values[3:]))
