"""Pruning inside the Trainer of transformers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer

from autoprune.errors import UsageError
from autoprune.integrations.gradual import GradualPruner, Rounds

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
else:
    try:
        from transformers import TrainerCallback
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed", "pip install 'autoprune[trainers]'"
        ) from None


class PruningCallback(TrainerCallback):  # type: ignore[misc]
    """Prunes the model that a ``Trainer`` trains, at a step or in rounds; its optimizer goes on.

        trainer = Trainer(model, args, train_dataset=data, callbacks=[
            PruningCallback("0.5flops", example_inputs={"pixel_values": images[:2]}, at=100)
        ])

    - ``budget``: ceiling on cost, as ``autoprune search`` takes it. ``plan``: a plan in its place.
    - ``example_inputs``: two samples: a tensor, a tuple, or a dict of the model's arguments.
    - ``at``: optimizer steps after which the model is pruned first, 0 for before the first.
    - ``rounds``, ``every``: in how many rounds the budget is reached, and the steps between them.
    - ``ranking``: which units go first: a name that needs no data, or a function of the model.
    - ``heuristic``: how the budget is spent (``autoprune prune``). ``keep``, ``only``: layers.

    The model gets smaller in place. Under several processes removed units are held at zero, by rank
    0's choice, and cut when the training ends. ``pruner.plan`` holds the units kept. Raises
    UsageError for options that make no sense.
    """

    def __init__(
        self,
        budget: str = "0.5flops",
        *,
        example_inputs: Any,
        at: int = 0,
        rounds: int = 1,
        every: int = 100,
        ranking: str | Callable[..., Mapping[str, Any]] = "l1",
        heuristic: str = "uniform",
        keep: Collection[str] | Mapping[str, float] = (),
        only: Collection[str] = (),
        plan: Mapping[str, int] | None = None,
    ) -> None:
        when = Rounds(budget, at, rounds, every, ranking, heuristic, keep, only, plan)
        self.pruner = GradualPruner(when, example_inputs)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Prune before the first step, if asked for."""
        self._step(state, told["model"], told["optimizer"])

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Prune after a step, if a round is due."""
        self._step(state, told["model"], told["optimizer"])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Cut what several processes held at zero."""
        self.pruner.finish(told["model"])

    def _step(self, state: TrainerState, model: nn.Module, optimizer: Any) -> None:
        inner: Optimizer = getattr(optimizer, "optimizer", optimizer)  # inside accelerate's
        self.pruner.step(model, [inner], state.global_step)
