"""Study of early tickets: masks drawn before training has ended, or before it begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from torch import Tensor, nn

from autoprune.commands.ticket.criteria import CRITERIA, DEFAULT, CriteriaConfig
from autoprune.commands.ticket.evidence.summary import Level, TrialsByKind, level_json
from autoprune.commands.ticket.evidence.verdict import early_verdict
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick, folder
from autoprune.commands.ticket.masks import Masks, kept_fraction, mask_distance, mask_overlap
from autoprune.commands.ticket.studies.iterative import MagnitudePruning
from autoprune.commands.ticket.ticket import FACTS, Ticket
from autoprune.commands.ticket.training.experiment import Experiment, Seeds
from autoprune.commands.ticket.training.length import iterations
from autoprune.commands.ticket.training.trial import trial_of
from autoprune.networks.save import state_tensors

DENSE, END = "dense", "end"

LIMIT: Final = 0.1
"""Largest distance of masks that count as the same, and largest lack of overlap."""

RECENT: Final = 5
"""Number of successive masks that must be the same."""

DRAWN: Final = 20
"""Least number of masks that a rule sees in a training: one per epoch, more in shorter ones."""

Rule = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], bool]

RULES: Final[Mapping[str, Rule]] = {
    "early-bird": lambda one, other: mask_distance(one, other) <= LIMIT,
    "early-overlap": lambda one, other: mask_overlap(one, other) >= 1 - LIMIT,
}
"""Rules that decide whether two masks count as the same.

``early-bird`` is the rule of You et al. 2020, "Drawing Early-Bird Tickets", section 3.2. Two masks
that keep few weights have a small distance whichever weights they keep; ``early-overlap`` therefore
asks for the fraction of kept weights that is the same.
"""


@dataclass
class MaskDetector:
    """Detector of the first mask that is the same as the four before it."""

    same: Rule
    recent: deque[Masks] = field(default_factory=lambda: deque(maxlen=RECENT - 1))
    at: int | None = None
    drawn: Masks = field(default_factory=dict)

    def see(self, step: int, masks: Masks) -> None:
        """Take in the mask of an iteration."""
        if self.at is not None:
            return
        if len(self.recent) == RECENT - 1 and all(self.same(masks, old) for old in self.recent):
            self.at, self.drawn = step, masks
        self.recent.append(masks)


@dataclass
class MaskRecorder:
    """Observer of the dense training that draws masks: at given iterations and by rules."""

    prune: Callable[[Mapping[str, Tensor]], Masks]
    at: frozenset[int]
    every: int
    detectors: Mapping[str, MaskDetector]
    drawn: dict[int, Masks] = field(default_factory=dict)

    def __call__(self, step: int, network: nn.Module) -> None:
        """Draw a mask if it is time."""
        if step in self.at:
            self.drawn[step] = self.prune(state_tensors(network))
        if step % self.every == 0 and any(
            detector.at is None for detector in self.detectors.values()
        ):
            masks = self.prune(state_tensors(network))
            for detector in self.detectors.values():
                detector.see(step, masks)


@dataclass(frozen=True)
class Early:
    """Study of tickets with equally many weights whose masks are drawn at different times.

    ``names`` are iterations (``100it``), rules or criteria; the mask of the trained network,
    ``end``, is compared with them. ``rounds`` of ``pruning`` are done at once. All tickets of a
    seed start from the same weights and see the same batches.
    """

    experiment: Experiment
    pruning: MagnitudePruning
    rounds: int
    seeds: range
    names: tuple[str, ...]
    criteria: CriteriaConfig = DEFAULT

    def jobs(self) -> list[Job]:
        """List the trainings: the dense one of every seed, then those of its masks."""
        steps, late = self.experiment.steps, self.experiment.steps - self.experiment.rewind
        names = (*self.names, END)
        dense = [Job(DENSE, seed, "ticket", steps, stores=True, draws=names) for seed in self.seeds]
        return dense + [
            Job(name, seed, kind, length, ((DENSE, seed, "ticket"),), kind == "ticket")
            for name in names
            for seed in self.seeds
            for kind, length in (("ticket", late), ("reinit", steps), ("shuffled", late))
        ]

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network; the dense one also stores all the masks."""
        if job.mask != DENSE:
            ticket = Ticket.load(folder(home, job.seed, job.mask))
            outcome = self.experiment.train_ticket(job, ticket, home, tick)
            if job.stores:
                self.experiment.store(job, home, outcome.ticket, outcome.trial)
            return outcome.record
        experiment, seeds = self.experiment, Seeds.of(job.seed)
        ticket = experiment.dense(experiment.weights(seeds.init))
        recorder = self._recorder(ticket)
        outcome = experiment.train_ticket(job, ticket, home, tick, also=recorder)
        experiment.store(job, home, outcome.ticket, outcome.trial)
        masks = self._masks(outcome.ticket, recorder, seeds)
        for name, drawn in masks.items():
            path = folder(home, job.seed, name)
            if (path / FACTS).is_file():  # the dense network is trained again for another mask
                continue
            replace(outcome.ticket, masks=drawn, trained={}, facts={"mask": name}).save(path)
        outcome.record["masks"] = {
            name: {
                "drawn_at": self._drawn_at(name, recorder),
                "distance": mask_distance(drawn, masks[END]),
                "overlap": mask_overlap(drawn, masks[END]),
                "chance": kept_fraction(drawn),
            }
            for name, drawn in masks.items()
        }
        return outcome.record

    def levels_of(self, records: Records) -> list[Level]:
        """Return the trials by mask."""
        share = fmean(records[END, seed, "ticket"]["remaining"] for seed in self.seeds)
        return [
            Level(share, {seed: self._trials(records, name, seed) for seed in self.seeds}, name)
            for name in (*self.names, END)
        ]

    def result(self, records: Records) -> dict[str, Any]:
        """Return figures by mask, the overlap with the mask of the end, and a verdict."""
        levels = self.levels_of(records)
        return {
            "method": f"{self.rounds} rounds of pruning at once, by when the mask was drawn",
            "by": "mask",
            "levels": [level_json(level) for level in levels],
            "masks": {
                level.name: [
                    {"seed": seed, **records[DENSE, seed, "ticket"]["masks"][level.name]}
                    for seed in self.seeds
                ]
                for level in levels
            },
            "verdict": early_verdict(levels),
        }

    def _trials(self, records: Records, name: str, seed: int) -> TrialsByKind:
        kinds = {kind: (name, seed, kind) for kind in ("ticket", "reinit", "shuffled")}
        keys = {"ticket": kinds["ticket"], "dense": (DENSE, seed, "ticket"), **kinds}
        return {kind: trial_of(records[key]) for kind, key in keys.items()}

    def _recorder(self, ticket: Ticket) -> MaskRecorder:
        def prune(weights: Mapping[str, Tensor]) -> Masks:
            return self.pruning(weights, ticket.masks, self.rounds)

        epoch = self.experiment.recipe.epoch(len(self.experiment.splits.train))
        every = max(1, min(epoch, self.experiment.steps // DRAWN))
        at = frozenset(self._iteration(name) for name in self.names)
        detectors = {name: MaskDetector(RULES[name]) for name in self.names if name in RULES}
        return MaskRecorder(prune, at, every, detectors)

    def _masks(self, dense: Ticket, recorder: MaskRecorder, seeds: Seeds) -> dict[str, Masks]:
        """Return all masks; each keeps as many weights as that of the trained network."""
        end = self.pruning(dense.trained, dense.masks, self.rounds)
        keep = sum(int(mask.sum()) for mask in end.values())
        split = self.experiment.splits.train.take(self.criteria.samples, seeds.order)
        masks = {}
        for name in self.names:
            if name in RULES:
                masks[name] = recorder.detectors[name].drawn or end
            elif name in CRITERIA:
                network = self.experiment.network(seeds.init)
                masks[name] = CRITERIA[name](
                    network, split, self.experiment.task, keep, self.criteria
                )
            else:
                masks[name] = recorder.drawn[self._iteration(name)]
        return {**masks, END: end}

    def _drawn_at(self, name: str, recorder: MaskRecorder) -> int | None:
        """Return the iteration at which a mask was drawn, None if a rule never drew one."""
        if name in RULES:
            return recorder.detectors[name].at
        if name == END:
            return self.experiment.steps
        return self._iteration(name)

    def _iteration(self, name: str) -> int:
        """Return the iteration that a name stands for, 0 for criteria and rules."""
        epoch = self.experiment.recipe.epoch(len(self.experiment.splits.train))
        return iterations(name, epoch) or 0
