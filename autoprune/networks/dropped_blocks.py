"""Blocks of a network of which nothing is left, dropped from its list of blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autoprune.structure.cut_record import recorded_cut
from autoprune.structure.removal import Removed


class Uneven(Exception):
    """No configuration describes a network; the text says why."""


Shapes = Callable[[Mapping[str, Any]], Mapping[str, tuple[int, ...]]]


def without_gone_blocks(model: Any, shapes: Shapes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the options of a model and its weights, blocks of which nothing is left dropped.

    ``shapes`` returns the shapes that options describe. What a dropped block would add goes into
    the last bias of the block before it. Raises Uneven where only a part of a block is gone, or
    where there is no such bias.
    """
    options: dict[str, Any] = model.config.to_dict()
    state: dict[str, Tensor] = {name: value.detach() for name, value in model.state_dict().items()}
    left = {path for removal, _ in recorded_cut(model).removed for path in removal.modules}
    for path, blocks in list(model.named_modules()):
        if not isinstance(blocks, nn.ModuleList):
            continue
        gone = [place for place, block in enumerate(blocks) if _is_gone(block)]
        if gone:
            for place in gone:
                _fold(state, path, blocks, gone, place)
            options = _shortened(options, path, len(blocks), gone, shapes)
            state = _renumbered(state, path, gone, len(blocks))
            starts = tuple(f"{path}.{place}." for place in gone)
            left = {name for name in left if not name.startswith(starts)}
    if left:
        raise Uneven(f"{min(left)} is gone, its block is not")
    return options, state


def _is_gone(block: nn.Module) -> bool:
    parts = [part for part in block.modules() if isinstance(part, Removed)]
    held = {id(value) for part in parts for value in part.parameters()}
    return bool(parts) and all(id(value) in held for value in block.parameters())


def _fold(
    state: dict[str, Tensor], path: str, blocks: nn.ModuleList, gone: list[int], place: int
) -> None:
    """Add the constants of a block to the last bias before it."""
    constants = [
        part.constant.detach().flatten()
        for part in blocks[place].modules()
        if isinstance(part, Removed) and part.constant is not None
    ]
    total = torch.stack(constants).sum(0)
    if not total.any():
        return
    before = [index for index in range(place) if index not in gone]
    biases = [
        name
        for name in state
        if before and name.startswith(f"{path}.{before[-1]}.") and name.endswith(".bias")
        if state[name].shape == total.shape
    ]
    if not biases:
        raise Uneven(f"{path}.{place} leaves a constant, and no bias takes it up")
    state[biases[-1]] = state[biases[-1]] + total


def _shortened(
    options: dict[str, Any], path: str, count: int, gone: list[int], shapes: Shapes
) -> dict[str, Any]:
    """Return the options of a model without some of its blocks."""
    for name, value in options.items():
        if type(value) is int and value == count:
            longer = shapes({**options, name: count + 1})
            if any(tensor.startswith(f"{path}.{count}.") for tensor in longer):
                lists = {
                    key: [one for place, one in enumerate(entries) if place not in gone]
                    for key, entries in options.items()
                    if isinstance(entries, list) and len(entries) == count
                }
                return {**options, **lists, name: count - len(gone)}
    raise Uneven(f"no option says how many there are of {path}")


def _renumbered(
    state: dict[str, Tensor], path: str, gone: list[int], count: int
) -> dict[str, Tensor]:
    left = [place for place in range(count) if place not in gone]
    names = {f"{path}.{old}.": f"{path}.{new}." for new, old in enumerate(left)}
    starts = tuple(f"{path}.{place}." for place in gone)
    found = {}
    for name, value in state.items():
        if not name.startswith(starts):
            start = next((old for old in names if name.startswith(old)), "")
            found[names[start] + name.removeprefix(start) if start else name] = value
    return found
