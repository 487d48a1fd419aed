"""Pruning inside the Trainer of Lightning."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from torch import nn

from autoprune.errors import UsageError
from autoprune.integrations.gradual import GradualPruner, Rounds

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule, Trainer
else:  # one library under two names: callbacks must be of the one that the user trains with
    try:
        if "pytorch_lightning" in sys.modules or find_spec("lightning") is None:
            from pytorch_lightning import Callback
        else:
            from lightning.pytorch import Callback
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed", "pip install 'autoprune[trainers]'"
        ) from None


class PruningCallback(Callback):  # type: ignore[misc]
    """Prunes the network that a Lightning ``Trainer`` trains; its optimizers go on.

        trainer = Trainer(max_epochs=5, callbacks=[
            PruningCallback("0.5flops", example_inputs=images[:2], at=100)
        ])

    ``network``: path of the part of the LightningModule that is pruned, the whole by default. All
    others are those of :class:`autoprune.integrations.transformers.PruningCallback`.
    """

    def __init__(
        self,
        budget: str = "0.5flops",
        *,
        example_inputs: Any,
        network: str = "",
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
        self.pruner, self._network = GradualPruner(when, example_inputs), network

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune before the first step, if asked for."""
        self._step(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *told: Any, **more: Any
    ) -> None:
        """Prune after a step, if a round is due."""
        self._step(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Cut what several processes held at zero."""
        with _alone(pl_module):
            self.pruner.finish(self._part(pl_module))

    def _step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        inner = [getattr(one, "optimizer", one) for one in trainer.optimizers]
        with _alone(pl_module):
            self.pruner.step(self._part(pl_module), inner, trainer.global_step)

    def _part(self, module: nn.Module) -> nn.Module:
        return module.get_submodule(self._network) if self._network else module


@contextmanager
def _alone(module: LightningModule) -> Iterator[None]:
    """Take the trainer off a module: it cannot be copied."""
    trainer, module._trainer = module._trainer, None
    try:
        yield
    finally:
        module._trainer = trainer
