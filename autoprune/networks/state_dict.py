"""State dicts as other programs write them: wrapped, under prefixes, with masks beside weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

WRAPPERS: Final = ("state_dict", "model_state_dict", "model", "net", "ema")
"""Keys under which checkpoints keep the weights, the usual ones first."""

_FLOATS: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ORIGINAL, _MASK = "_orig", "_mask"


def find_state(loaded: object, expected: Collection[str]) -> dict[str, Tensor] | None:
    """Return the tensors by name in a checkpoint, named as the network names them (``expected``).

    Of several, the first that shares names with the network. None if there are no such tensors.
    """
    found = [_renamed(state, expected) for state in _states(loaded)]
    fitting = (state for state in found if not expected or state.keys() & set(expected))
    return next(fitting, found[0] if found else None)


def problem_of(value: Tensor, like: Tensor) -> str:
    """Return why a tensor cannot be loaded in place of another one, "" if it can."""
    if value.is_meta:
        return "has no values (it is on the device meta)"
    if value.is_quantized or value.layout != torch.strided:
        return f"is {'quantized' if value.is_quantized else 'sparse'}, the model's is not"
    if value.is_floating_point() and value.dtype not in _FLOATS:
        return f"is {_name(value)}, which is not loaded"
    if _kind(value) != _kind(like):
        return f"is {_name(value)}, the model's is {_name(like)}"
    return ""


def _states(loaded: object, depth: int = 2) -> Iterator[Mapping[str, Tensor]]:
    """Yield every dict of tensors by name, at the top or under wrappers."""
    if not isinstance(loaded, dict) or not loaded:
        return
    if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()):
        yield loaded
    elif depth:
        for wrapper in WRAPPERS:
            yield from _states(loaded.get(wrapper), depth - 1)


def _renamed(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Name tensors as the network does: with another prefix, masks applied to their weights."""
    state = _masked(state, expected)
    if not state.keys() & set(expected):
        theirs, ours = _prefix(state), _prefix(expected)
        bare = {name.removeprefix(theirs): value for name, value in state.items()}
        if {ours + name for name in bare} & set(expected):
            return {ours + name: value for name, value in bare.items()}
        for prefix in _prefixes(theirs):
            bare = {name.removeprefix(prefix): value for name, value in state.items()}
            if bare.keys() & set(expected):
                return bare
    return dict(state)


def _masked(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Multiply what torch.nn.utils.prune keeps apart: ``weight_orig`` and ``weight_mask``."""
    merged = dict(state)
    for name in state:
        base = name.removesuffix(_ORIGINAL)
        mask = state.get(base + _MASK)
        if name == base or mask is None or name in expected or mask.shape != state[name].shape:
            continue
        merged[base] = merged.pop(name) * merged.pop(base + _MASK)
    return merged


def _prefix(names: Collection[str]) -> str:
    """Return the longest prefix of whole parts that all names share: ``module.model.``."""
    if not names:
        return ""
    first, last = min(names).split("."), max(names).split(".")
    shared: list[str] = []
    for one, other in zip(first[:-1], last[:-1], strict=False):
        if one != other:
            break
        shared.append(one)
    return "".join(f"{part}." for part in shared)


def _prefixes(prefix: str) -> Iterator[str]:
    parts = prefix.split(".")[:-1]
    return ("".join(f"{part}." for part in parts[: count + 1]) for count in range(len(parts)))


def _kind(value: Tensor) -> str:
    if value.dtype == torch.bool:
        return "bool"
    if value.is_complex():
        return "complex"
    return "float" if value.is_floating_point() else "int"


def _name(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")
