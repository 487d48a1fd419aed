"""Pruning inside a training that is not ours: at a step, or in rounds, with its optimizer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.errors import UsageError
from autoprune.networks.execution import device_of
from autoprune.pipeline.search import named_layers
from autoprune.problem.floors import floors
from autoprune.problem.heuristics import check_heuristic, heuristic_plan
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.own import own_ranking
from autoprune.ranking.rank import rank
from autoprune.ranking.registry import find_ranking, without_data
from autoprune.structure.analyze import analyze
from autoprune.structure.cut_record import recorded_cut
from autoprune.structure.cutting import cut
from autoprune.structure.plan import Plan
from autoprune.structure.rescaling import rescale
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Structure
from autoprune.training.surgery import Change, carry, require_cuttable


@dataclass(frozen=True)
class Rounds:
    """When and how a network is pruned while it is trained.

    ``at``: optimizer steps after which it is pruned first; ``rounds``: in how many rounds the
    budget is reached, ``every`` so many steps. Each round prunes the same fraction of what is left.
    ``plan``: a plan to carry out in one round, in place of ``budget`` and ``heuristic``.
    """

    budget: str = "0.5flops"
    at: int = 0
    rounds: int = 1
    every: int = 100
    ranking: str | Callable[..., Mapping[str, Any]] = "l1"
    heuristic: str = "uniform"
    keep: Collection[str] | Mapping[str, float] = ()
    only: Collection[str] = ()
    plan: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        Budget.parse(self.budget)
        check_heuristic(self.heuristic, masked=False)
        if isinstance(self.ranking, str) and find_ranking(self.ranking).needs_data:
            raise UsageError(
                f"ranking {self.ranking!r} needs calibration data",
                f"take one of {', '.join(without_data())}, or a function of the model",
            )
        for name, least in (("at", 0), ("rounds", 1), ("every", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UsageError(f"{name} must be a whole number of at least {least}, not {value}")
        if self.plan is not None and self.rounds > 1:
            raise UsageError("a plan is carried out in one round", "leave rounds out, or plan")

    def due(self, step: int, done: int) -> bool:
        """Whether the round after ``done`` is due after ``step`` steps."""
        return done < self.rounds and step >= self.at + done * self.every


@dataclass
class GradualPruner:
    """Pruner of a network in training.

    Alone, the network is cut in place and its optimizers follow. Under several processes, whose
    wrappers hold on to the parameters, removed units are held at zero after every step instead, by
    rank 0's choice, and :meth:`finish` cuts them. ``done``: rounds carried out.
    """

    when: Rounds
    example_inputs: Any
    done: int = 0
    plan: Plan | None = None
    _held: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _kept: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def step(self, model: nn.Module, optimizers: Iterable[Optimizer], step: int) -> None:
        """Prune if a round is due after ``step`` optimizer steps."""
        while self.when.due(step, self.done):
            self._round(model, list(optimizers))
        self._hold(model)

    def finish(self, model: nn.Module) -> None:
        """Cut what was held at zero; to be called when the training has ended."""
        if self._kept:
            slicer = Slicer(model, self._dense)
            rescale(_tensors(model), self._dense, self._kept)
            cut(model, slicer.indices(self._kept), slicer.widths(self._kept))
            self._held, self._kept = {}, {}

    def _round(self, model: nn.Module, optimizers: list[Optimizer]) -> None:
        if self.done == 0:
            self._dense = analyze(model, self.example_inputs)
        together = _processes() > 1
        whole = together or not self.done
        structure = self._dense if whole else analyze(model, self.example_inputs)
        ranking = self._ranking(model, structure)
        plan = self._plan(ranking)
        kept = _agreed(ranking.kept(plan), device_of(model))
        if together:
            self._kept, self._held = kept, Slicer(model, structure).masks(kept)
        else:
            _cut_in_place(model, structure, kept, optimizers)
        self.plan, self.done = plan, self.done + 1

    def _ranking(self, model: nn.Module, structure: Structure) -> Ranking:
        method = self.when.ranking
        if callable(method):
            return own_ranking("own", method, model, structure, None, None, 0)
        return rank(model, structure, method)

    def _plan(self, ranking: Ranking) -> Plan:
        if self.when.plan is not None:
            plan = Plan.of(self.when.plan)
            plan.check(self._dense)
            return plan
        share = (self.done + 1) / self.when.rounds
        ceiling = self.plan or Plan.dense(self._dense)
        return heuristic_plan(self.when.heuristic, self._budget.partial(share, ceiling), ranking)

    @cached_property
    def _budget(self) -> BoundBudget:
        layers = named_layers(self.when.keep, self.when.only, (), ())
        least = floors(self._dense, layers["keep"], layers["only"])
        return Budget.parse(self.when.budget).bind(CostModel(self._dense), 1, least)

    @torch.no_grad()
    def _hold(self, model: nn.Module) -> None:
        own = _tensors(model)
        for name, kept in self._held.items():
            own[name].mul_(kept)


def _cut_in_place(
    model: nn.Module,
    structure: Structure,
    kept: Mapping[str, Tensor],
    optimizers: list[Optimizer],
) -> None:
    """Cut a network and carry its optimizers over; what is frozen or elsewhere stays."""
    slicer, before = Slicer(model, structure), recorded_cut(model)
    old, indices = dict(model.named_parameters()), slicer.indices(kept)
    for optimizer in optimizers:
        require_cuttable(optimizer, old, {name for name, _ in indices})
    rescale(_tensors(model), structure, kept)
    cut(model, indices, slicer.widths(kept))
    new, change = dict(model.named_parameters()), Change.between(before, recorded_cut(model))
    for optimizer in optimizers:
        carry(optimizer, old, new, change)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _processes() -> int:
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if there else 1


def _agreed(kept: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return rank 0's choice of as many units: other ranks' may differ where units are alike."""
    chosen = {name: kept[name].clone().to(device) for name in sorted(kept)}
    if _processes() > 1:
        for units in chosen.values():
            torch.distributed.broadcast(units, 0)
    return {name: units.cpu() for name, units in chosen.items()}
