"""Plans of a table's network evaluated as delivered, on three splits, and a journal of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import nn

from autoprune.commands.suite.table import AGAIN, Measured
from autoprune.data import Samples
from autoprune.data.task import PerSampleTask
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.options import Depth
from autoprune.foundation.user_code import is_factory, load
from autoprune.networks import zoo
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, forward, laid_out
from autoprune.networks.folding import find_foldable, folded, pairs_in
from autoprune.networks.weights import load_weights
from autoprune.pipeline.posing import Problem, pose
from autoprune.pipeline.tuning import ScoredFitConfig
from autoprune.problem.evaluation import Evaluation
from autoprune.ranking.reconstruction import Reconstruction
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

BATCH: Final = 128
"""Samples per forward pass."""

WEIGHTS: Final = "network.safetensors"
"""File of a table with the weights of its network."""

EMBEDDED: Final = "digits"
"""Data that need no path."""


@dataclass(frozen=True)
class Recorded:
    """Network, data and samples that the plans of a table are evaluated with.

    ``network``: name in the zoo, with ``options``, or a function of a file in the folder of all
    tables. ``data``: what it is called. ``samples``: the most of the search, validation and test
    split.
    """

    network: str
    data: str
    samples: tuple[int, int, int]
    options: Mapping[str, int] = field(default_factory=dict)
    task: str = "classification"
    depth: Depth = "off"

    @classmethod
    def of(cls, about: Mapping[str, Any], folder: Path) -> Self:
        """Read what a table says of itself; raise DamagedError for anything else.

        A network is one of the zoo or of the folder of all tables: no table runs another file.
        """
        try:
            samples, network = about["samples"], str(about["network"])
            few = (int(samples["search"]), int(samples["validation"]), int(samples["test"]))
            if min(few) < 1:
                raise ValueError(f"samples {list(few)}")
            if is_factory(network) and Path(network).name != network:
                raise ValueError(f"network {network!r} is outside the folder of tables")
            return cls(
                network,
                str(about["data"]),
                few,
                {str(name): int(value) for name, value in about["options"].items()},
                str(about["task"]),
                "auto" if about["depth"] == "auto" else "off",
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise DamagedError(
                f"{folder.name} does not say how it was recorded: {error}", AGAIN
            ) from None

    def source(self, folder: Path, data: str | None) -> str:
        """Return where the data are; ``folder``: the table's, ``data``: what the user named.

        Raises UsageError where the data have to be named, DamagedError if the weights are missing.
        """
        source = data or (EMBEDDED if self.data == EMBEDDED else None)
        if source is None:
            raise UsageError(
                f"plans of {folder.name} are evaluated on {self.data}, which is not embedded",
                f"name where it is: --compute {folder.name}=path/to/data",
            )
        if not (folder / WEIGHTS).is_file():
            raise DamagedError(f"{folder / WEIGHTS} is missing", AGAIN)
        return source

    def pose(self, folder: Path, data: str | None) -> Problem:
        """Pose the problem; raises what :meth:`source` raises."""
        source = self.source(folder, data)
        network = self._built(folder)
        load_weights(network, folder / WEIGHTS)
        return pose(network, source, task=self.task, depth=self.depth, progress=False)

    def _built(self, folder: Path) -> nn.Module:
        if is_factory(self.network):
            made: nn.Module = load(str(folder.parent / self.network))[0]()
            return made
        return zoo.build(self.network, **self.options)


class Recorder:
    """Evaluates plans of a problem as delivered, and remembers them in a journal.

    ``samples``: the most of each split, the same ones every time. The network is fitted to the
    dense one layer after layer on so many training samples as the product does where it scores
    fitted networks (``ScoredFitConfig``).
    """

    def __init__(self, problem: Problem, samples: Sequence[int], journal: Path) -> None:
        inputs = problem.session.inputs
        if not isinstance(inputs.task, PerSampleTask):
            raise TypeError("tables are recorded for tasks with a loss of each sample")
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
        self._halved = journal.exists() and journal.read_bytes()[-1:] not in {b"", b"\n"}

    def __call__(self, plan: Plan) -> Evaluation:
        """Return loss and score on the search split, from the journal if they are there."""
        found = self.known.get(plan)
        if found is None:
            weights = self.problem.ranking.weights(plan)
            found = self.measure(self._fit(self.problem.ranking.kept(plan), weights).eval())
            self.known[plan] = found
            with self.journal.open("a", encoding="utf-8") as stream:
                entry = [dict(plan), *found.losses, *found.scores]
                stream.write("\n" * self._halved + json.dumps(entry) + "\n")
                self._halved = False
        return Evaluation(found.scores[0], found.losses[0])

    def at(self, counts: Sequence[int]) -> Measured:
        """Return loss and score of a plan [groups] on each split."""
        plan = self.problem.cost.plan(counts)
        self(plan)
        return self.known[plan]

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
        with suppress(ValueError):
            kept, *values = json.loads(line)
            yield Plan.of(kept), Measured(tuple(values[:3]), tuple(values[3:]))
