"""Surgery on optimizers: their state follows the parameters of a network that was cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autoprune.errors import UsageError
from autoprune.structure.cut_record import Cut, recorded_cut
from autoprune.structure.table import Removal

Parameters = Mapping[str, nn.Parameter]

Kept = Mapping[int, Tensor]
"""Dimension of a parameter -> indices that stay."""


@dataclass(frozen=True)
class Change:
    """What became of a network's parameters between two cuts.

    ``kept``: what of each stayed. ``removed``: the branches that went. ``constants``: what earlier
    ones left, whose units are not recorded.
    """

    kept: Mapping[str, Kept]
    removed: tuple[Removal, ...]
    constants: frozenset[str]

    @classmethod
    def between(cls, before: Cut, after: Cut) -> Self:
        """Compare two records of what a network was cut to."""
        kept: dict[str, dict[int, Tensor]] = defaultdict(dict)
        for (name, dim), index in after.indices.items():
            old, index = before.indices.get((name, dim)), index.cpu()
            kept[name][dim] = index if old is None else torch.searchsorted(old.cpu(), index)
        earlier = frozenset(removal.constant for removal, _ in before.removed)
        new = tuple(one for one, _ in after.removed if one.constant not in earlier)
        return cls(kept, new, earlier)

    def replaced(self, name: str, new: Parameters) -> str | None:
        """Return the constant in the place of the branch that a parameter went with."""
        for removal in self.removed:
            inside = any(name.startswith(f"{path}.") for path in removal.modules)
            if inside and removal.constant in new:
                return removal.constant
        return None


def prune_optimizer(optimizer: Optimizer, model: nn.Module, compact: nn.Module) -> None:
    """Let an optimizer of ``model`` go on with ``compact``, which ``prune`` cut out of it.

    Momenta and second moments are cut as the parameters are, gradients too; steps, learning rates
    and groups stay, so schedulers go on as well. Works for any optimizer whose state has the shape
    of its parameters, or of no parameter at all (step counts): SGD, Adam, AdamW, RMSprop, ...
    Parameters of a branch that is gone are dropped; the constant in its place joins their group.

    Raises UsageError, before anything is changed, if ``compact`` was not cut out of ``model``, the
    optimizer has no parameter of it, or keeps a state that cannot be cut.
    """
    carry(
        optimizer,
        dict(model.named_parameters()),
        dict(compact.named_parameters()),
        Change.between(recorded_cut(model), recorded_cut(compact)),
    )


def carry(optimizer: Optimizer, old: Parameters, new: Parameters, change: Change) -> None:
    """Replace parameters by name, with their state; see :func:`prune_optimizer`."""
    require_cuttable(optimizer, old, {name for name, kept in change.kept.items() if kept})
    names = {id(parameter): name for name, parameter in old.items()}
    after = {
        parameter: _carried(optimizer, names[id(parameter)], parameter, new, change)
        for group in optimizer.param_groups
        for parameter in group["params"]
        if id(parameter) in names
    }
    seen: set[int] = set()
    for group in optimizer.param_groups:
        followers = [after[one][0] if one in after else one for one in group["params"]]
        own = {id(one): one for one in followers if id(one) not in seen}
        group["params"][:] = own.values()  # one constant follows on many parameters
        seen |= own.keys()
    for parameter, (follower, state, gradient) in after.items():
        optimizer.state.pop(parameter, None)
        if state:
            optimizer.state[follower] = state
        if gradient is not None:
            follower.grad = gradient


def require_cuttable(optimizer: Optimizer, old: Parameters, cut: Collection[str]) -> None:
    """Raise UsageError unless an optimizer has parameters of a model, and can follow a cut.

    ``cut``: names of the parameters that are cut.
    """
    names = {id(parameter): name for name, parameter in old.items()}
    held = [one for group in optimizer.param_groups for one in group["params"] if id(one) in names]
    if not held:
        raise UsageError(
            "the optimizer has no parameter of the model", "pass the one that trains this model"
        )
    for parameter in held:
        name = names[id(parameter)]
        for key, value in optimizer.state.get(parameter, {}).items() if name in cut else ():
            if _varies(value) and value.shape != parameter.shape:
                raise UsageError(
                    f"{type(optimizer).__name__} keeps {key!r} of {name!r} in another shape,"
                    f" {list(value.shape)}, which cannot be cut",
                    "use SGD, Adam, AdamW or another optimizer whose state has the parameters'"
                    " shapes",
                )


def _carried(
    optimizer: Optimizer, name: str, parameter: nn.Parameter, new: Parameters, change: Change
) -> tuple[nn.Parameter, dict[str, Any], Tensor | None]:
    """Return what follows on a parameter, its state and its gradient."""
    constant = change.replaced(name, new)
    if constant is not None:
        return new[constant], {}, None
    kept = change.kept.get(name, {})
    if name not in new or _cut(parameter, kept).shape != new[name].shape:
        if name in change.constants and name in new:
            return new[name], {}, None
        raise UsageError(
            f"{name!r} of the compact network was not cut out of this model's",
            "pass the model that prune() was given, and what it returned",
        )
    state = {
        key: _cut(value, kept) if kept and _varies(value) else value
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    return new[name], state, None if parameter.grad is None else _cut(parameter.grad, kept)


def _varies(value: Any) -> bool:
    """Whether an entry of a state differs from element to element; step counts do not."""
    return isinstance(value, Tensor) and value.numel() > 1


@torch.no_grad()
def _cut(tensor: Tensor, kept: Kept) -> Tensor:
    value = tensor.detach()
    for dim, index in kept.items():
        if dim >= value.dim() or int(index.max()) >= value.shape[dim]:
            break  # of another network: the shapes will differ
        value = value.index_select(dim, index.to(value.device))
    return value
