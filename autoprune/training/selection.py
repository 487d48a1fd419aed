"""Selection of the best weights of a training by the loss on validation samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoprune.training.checkpoint import State, below, under

Validate = Callable[[nn.Module], float]
"""Mean loss of a network on validation samples; the network's modes are restored."""


@dataclass(frozen=True)
class Selected:
    """Epoch whose weights were kept, 0 for those before the training, and the losses [epochs + 1].

    A loss that is not finite counts as infinite.
    """

    losses: tuple[float, ...]

    @property
    def epoch(self) -> int:
        """Epoch of least loss, the earliest of equals."""
        return min(range(len(self.losses)), key=lambda epoch: self.losses[epoch])

    @property
    def improved(self) -> bool:
        """Whether training lowered the loss."""
        return self.epoch > 0

    def remarks(self, training: str) -> list[str]:
        """Return the warning that a training changed nothing, if it did not."""
        if self.improved:
            return []
        before, best = self.losses[0], min(self.losses[1:])
        return [
            f"{training} did not help: the validation loss was {before:.4g} before and {best:.4g}"
            " at best after an epoch; the network stays as it was before"
        ]


class Selection:
    """Weights of least validation loss: a training can then only improve a network."""

    def __init__(self, validate: Validate) -> None:
        self._validate = validate
        self._losses: list[float] = []
        self._weights: Mapping[str, Tensor] = {}

    def consider(self, model: nn.Module) -> None:
        """Measure the model; keep its weights if no earlier ones are as good."""
        loss = self._validate(model)
        loss = loss if math.isfinite(loss) else math.inf
        if not self._losses or loss < min(self._losses):
            self._weights = {
                name: value.detach().clone() for name, value in model.state_dict().items()
            }
        self._losses.append(loss)

    def apply(self, model: nn.Module) -> Selected:
        """Load the best weights into the model; return what was chosen."""
        model.load_state_dict(self._weights)
        return Selected(tuple(self._losses))

    @property
    def begun(self) -> bool:
        """Whether weights were considered."""
        return bool(self._losses)

    def state(self) -> dict[str, Tensor]:
        """State that a continued training needs."""
        losses = torch.tensor(self._losses, dtype=torch.float64)
        return under("best", {"losses": losses, **under("weights", self._weights)})

    def resume(self, state: State) -> None:
        """Continue from what ``state`` returned; raises KeyError if it is incomplete."""
        best = below("best", state)
        self._losses = best["losses"].tolist()
        self._weights = below("weights", best)
