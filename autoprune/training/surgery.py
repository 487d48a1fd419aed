"""Surgery on optimizers: their state follows the parameters of a network that was cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autoprune.errors import UsageError
from autoprune.structure.cut_record import Record, recorded_cut

Parameters = Mapping[str, nn.Parameter]
Kept = Mapping[str, Mapping[int, Tensor]]
"""Parameter name -> dimension -> indices that stay."""


def prune_optimizer(optimizer: Optimizer, model: nn.Module, compact: nn.Module) -> None:
    """Let an optimizer of ``model`` go on with ``compact``, which ``prune`` cut out of it.

    Momenta and second moments are cut as the parameters are, gradients too; steps, learning rates
    and groups stay, so schedulers go on as well. Works for any optimizer whose state has the shape
    of its parameters, or of no parameter at all (step counts): SGD, Adam, AdamW, RMSprop, ...

    Raises UsageError, before anything is changed, if ``compact`` was not cut out of ``model``, the
    optimizer has no parameter of it, or keeps a state that cannot be cut.
    """
    carry(
        optimizer,
        dict(model.named_parameters()),
        dict(compact.named_parameters()),
        cut_between(recorded_cut(model), recorded_cut(compact)),
    )


def cut_between(before: Record, after: Record) -> Kept:
    """Return what of each parameter stayed between two records of what a network was cut to."""
    kept: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for (name, dim), index in after[0].items():
        old, index = before[0].get((name, dim)), index.cpu()
        kept[name][dim] = index if old is None else torch.searchsorted(old.cpu(), index)
    return kept


def carry(optimizer: Optimizer, old: Parameters, new: Parameters, kept: Kept) -> None:
    """Replace parameters by name, with their state; see :func:`prune_optimizer`."""
    names = {id(parameter): name for name, parameter in old.items()}
    held = [one for group in optimizer.param_groups for one in group["params"]]
    if not any(id(parameter) in names for parameter in held):
        raise UsageError(
            "the optimizer has no parameter of the model", "pass the one that trains this model"
        )
    carried: dict[int, tuple[nn.Parameter, dict[str, Any]]] = {}
    for parameter in held:
        name = names.get(id(parameter))
        if name is None:
            continue
        if name not in new or _cut(parameter, kept.get(name, {})).shape != new[name].shape:
            raise UsageError(
                f"{name!r} of the compact network was not cut out of this model's",
                "pass the model that prune() was given, and what it returned",
            )
        state = {
            key: _state(optimizer, name, key, value, parameter, kept.get(name, {}))
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        carried[id(parameter)] = new[name], state
    for group in optimizer.param_groups:
        for place, parameter in enumerate(group["params"]):
            if id(parameter) not in carried:
                continue
            replacement, state = carried[id(parameter)]
            group["params"][place] = replacement
            if parameter.grad is not None and parameter is not replacement:
                gone = kept.get(names[id(parameter)], {})
                replacement.grad = _cut(parameter.grad, gone)
            if parameter in optimizer.state:
                del optimizer.state[parameter]
                optimizer.state[replacement] = state


def _state(
    optimizer: Optimizer,
    name: str,
    key: str,
    value: Any,
    parameter: nn.Parameter,
    kept: Mapping[int, Tensor],
) -> Any:
    """Cut one entry of a parameter's state."""
    if not isinstance(value, Tensor) or value.numel() == 1 or not kept:
        return value
    if value.shape != parameter.shape:
        raise UsageError(
            f"{type(optimizer).__name__} keeps {key!r} of {name!r} in another shape,"
            f" {list(value.shape)}, which cannot be cut",
            "use SGD, Adam, AdamW or another optimizer whose state has the parameters' shapes",
        )
    return _cut(value, kept)


@torch.no_grad()
def _cut(tensor: Tensor, kept: Mapping[int, Tensor]) -> Tensor:
    value = tensor.detach()
    for dim, index in kept.items():
        if dim >= value.dim() or int(index.max()) >= value.shape[dim]:
            break  # of another network: the shapes will differ
        value = value.index_select(dim, index.to(value.device))
    return value
