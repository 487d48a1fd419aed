"""Early tickets: masks drawn before training has ended, or before it begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from torch import Tensor, nn

from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.criteria import CRITERIA, SAMPLES
from autoprune.commands.ticket.experiment import Seeds, Setting
from autoprune.commands.ticket.iterative import Pruning
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick, folder
from autoprune.commands.ticket.length import iterations
from autoprune.commands.ticket.summary import Group, Trials, level_json
from autoprune.commands.ticket.ticket import FACTS, Ticket
from autoprune.commands.ticket.trial import trial_of
from autoprune.commands.ticket.verdict import early_verdict
from autoprune.networks.save import state_tensors

DENSE, END = "dense", "end"

LIMIT: Final = 0.1
"""Distance below which masks count as the same, and one minus the overlap above which they do."""

RECENT: Final = 5
"""Masks that must be the same."""

LOOKS: Final = 20
"""Least number of masks that a rule sees in a training: one per epoch, more in shorter ones."""

Settled = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], bool]

RULES: Final[Mapping[str, Settled]] = {
    "early-bird": lambda one, other: m.distance(one, other) <= LIMIT,
    "early-overlap": lambda one, other: m.overlap(one, other) >= 1 - LIMIT,
}
"""When two masks count as the same.

``early-bird`` is the rule of You et al. 2020, "Drawing Early-Bird Tickets", section 3.2. Two masks
that keep few weights differ in few places whatever they keep, so ``early-overlap`` asks how much of
what is kept is the same.
"""


@dataclass
class Bird:
    """Draws the first mask that is the same as the four before it."""

    same: Settled
    recent: deque[m.Masks] = field(default_factory=lambda: deque(maxlen=RECENT - 1))
    at: int | None = None
    drawn: m.Masks = field(default_factory=dict)

    def see(self, step: int, masks: m.Masks) -> None:
        """Look at the mask of an iteration."""
        if self.at is not None:
            return
        if len(self.recent) == RECENT - 1 and all(self.same(masks, old) for old in self.recent):
            self.at, self.drawn = step, masks
        self.recent.append(masks)


@dataclass
class Draws:
    """Draws masks in the course of the dense training: at iterations ``at``, and by rules."""

    prune: Callable[[Mapping[str, Tensor]], m.Masks]
    at: frozenset[int]
    every: int
    birds: Mapping[str, Bird]
    drawn: dict[int, m.Masks] = field(default_factory=dict)

    def __call__(self, step: int, network: nn.Module) -> None:
        """Draw if it is time."""
        if step in self.at:
            self.drawn[step] = self.prune(state_tensors(network))
        if step % self.every == 0 and any(bird.at is None for bird in self.birds.values()):
            masks = self.prune(state_tensors(network))
            for bird in self.birds.values():
                bird.see(step, masks)


@dataclass(frozen=True)
class Early:
    """Tickets with as many weights, by when and how their masks are drawn, for every seed.

    ``names`` are iterations (``100it``), rules or criteria; the mask of the trained network,
    ``end``, stands beside them. ``rounds`` of ``pruning`` are done at once. All start from the same
    weights and see the same batches.
    """

    setting: Setting
    pruning: Pruning
    rounds: int
    seeds: range
    names: tuple[str, ...]

    def jobs(self) -> list[Job]:
        """List the trainings: the dense one of every seed, then those of its masks."""
        steps, late = self.setting.steps, self.setting.steps - self.setting.rewind
        names = (*self.names, END)
        dense = [Job(DENSE, seed, "ticket", steps, stores=True, draws=names) for seed in self.seeds]
        return dense + [
            Job(name, seed, kind, length, ((DENSE, seed, "ticket"),), kind == "ticket")
            for name in names
            for seed in self.seeds
            for kind, length in (("ticket", late), ("reinit", steps), ("shuffled", late))
        ]

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network; the dense one also leaves all the masks."""
        if job.mask != DENSE:
            ticket = Ticket.load(folder(home, job.seed, job.mask))
            found = self.setting.start(job, ticket, home, tick)
            if job.stores:
                self.setting.store(job, home, found.ticket, found.trial)
            return found.record
        setting, seeds = self.setting, Seeds.of(job.seed)
        ticket = setting.dense(setting.weights(seeds.init))
        draws = self._draws(ticket)
        found = setting.start(job, ticket, home, tick, also=draws)
        setting.store(job, home, found.ticket, found.trial)
        masks = self._masks(found.ticket, draws, seeds)
        for name, drawn in masks.items():
            place = folder(home, job.seed, name)
            if (place / FACTS).is_file():  # made anew for another one
                continue
            replace(found.ticket, masks=drawn, trained={}, facts={"mask": name}).save(place)
        found.record["masks"] = {
            name: {
                "drawn_at": self._when(name, draws),
                "distance": m.distance(drawn, masks[END]),
                "overlap": m.overlap(drawn, masks[END]),
                "chance": m.remaining(drawn),
            }
            for name, drawn in masks.items()
        }
        return found.record

    def groups(self, records: Records) -> list[Group]:
        """Return the trainings by mask."""
        share = fmean(records[END, seed, "ticket"]["remaining"] for seed in self.seeds)
        return [
            Group(share, {seed: self._trials(records, name, seed) for seed in self.seeds}, name)
            for name in (*self.names, END)
        ]

    def result(self, records: Records) -> dict[str, Any]:
        """Return figures by mask, how the masks compare with that of the end, and a verdict."""
        groups = self.groups(records)
        return {
            "method": f"{self.rounds} rounds of pruning at once, by when the mask was drawn",
            "by": "mask",
            "levels": [level_json(group) for group in groups],
            "masks": {
                group.name: [
                    {"seed": seed, **records[DENSE, seed, "ticket"]["masks"][group.name]}
                    for seed in self.seeds
                ]
                for group in groups
            },
            "verdict": early_verdict(groups),
        }

    def _trials(self, records: Records, name: str, seed: int) -> Trials:
        kinds = {kind: (name, seed, kind) for kind in ("ticket", "reinit", "shuffled")}
        keys = {"ticket": kinds["ticket"], "dense": (DENSE, seed, "ticket"), **kinds}
        return {kind: trial_of(records[key]) for kind, key in keys.items()}

    def _draws(self, ticket: Ticket) -> Draws:
        def prune(weights: Mapping[str, Tensor]) -> m.Masks:
            return self.pruning(weights, ticket.masks, self.rounds)

        epoch = self.setting.fit.epoch(len(self.setting.splits.train))
        every = max(1, min(epoch, self.setting.steps // LOOKS))
        at = frozenset(self._iteration(name) for name in self.names)
        birds = {name: Bird(RULES[name]) for name in self.names if name in RULES}
        return Draws(prune, at, every, birds)

    def _masks(self, dense: Ticket, draws: Draws, seeds: Seeds) -> dict[str, m.Masks]:
        """Draw all masks that keep as many weights as that of the trained network."""
        end = self.pruning(dense.trained, dense.masks, self.rounds)
        keep = sum(int(mask.sum()) for mask in end.values())
        split = self.setting.splits.train.take(SAMPLES, seeds.order)
        masks = {}
        for name in self.names:
            if name in RULES:
                masks[name] = draws.birds[name].drawn or end
            elif name in CRITERIA:
                network = self.setting.network(seeds.init)
                masks[name] = CRITERIA[name](network, split, self.setting.task, keep)
            else:
                masks[name] = draws.drawn[self._iteration(name)]
        return {**masks, END: end}

    def _when(self, name: str, draws: Draws) -> int | None:
        """Return the iteration a mask was drawn at, None if a rule never did."""
        if name in RULES:
            return draws.birds[name].at
        if name == END:
            return self.setting.steps
        return self._iteration(name)

    def _iteration(self, name: str) -> int:
        """Return the iteration that a name gives, 0 for criteria and rules."""
        epoch = self.setting.fit.epoch(len(self.setting.splits.train))
        return iterations(name, epoch) or 0
