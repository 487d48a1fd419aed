"""The operations of one forward pass, and how their sizes follow from a plan.

A network is run on the ``meta`` device, where nothing is computed, once whole and once with each
group a step narrower. Every size in an operation's arguments is affine in the counts of a plan, so
those runs tell all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

INTEGER = object()
"""Stands where an integer goes."""


@dataclass(frozen=True)
class TensorForm:
    """Properties of a tensor, besides its shape, that the time of an operation depends on."""

    dtype: torch.dtype
    channels_last: bool
    rank: int


@dataclass(frozen=True)
class Call:
    """One operation: its function and arguments, whose sizes are holes to be filled.

    ``leaves`` holds a TensorForm where a tensor goes, INTEGER where an integer goes, and any other
    argument as it was. ``sizes`` fill the holes in order, those of tensors with their shape.
    """

    name: str
    function: Callable[..., Any]
    leaves: tuple[Any, ...]
    tree: TreeSpec
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, function: Callable[..., Any], args: Any, kwargs: Any) -> Call:
        """Note a call that was made."""
        leaves, tree = tree_flatten((args, kwargs))
        kept: list[Any] = []
        sizes: list[int] = []
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                kept.append(TensorForm(leaf.dtype, _channels_last(leaf), leaf.dim()))
                sizes.extend(leaf.shape)
            elif type(leaf) is int:
                kept.append(INTEGER)
                sizes.append(leaf)
            else:
                kept.append(leaf)
        name = resolve_name(function) or getattr(function, "__name__", "?")
        return cls(name, function, tuple(kept), tree, tuple(sizes))

    def key(self, sizes: Sequence[int]) -> str:
        """Text that is the same for calls that take the same time: function, types, sizes."""
        rest, parts = list(sizes), [self.name]
        for leaf in self.leaves:
            if isinstance(leaf, TensorForm):
                shape, rest = rest[: leaf.rank], rest[leaf.rank :]
                layout = " channels_last" if leaf.channels_last else ""
                parts.append(f"{str(leaf.dtype)[6:]}{list(map(int, shape))}{layout}")
            elif leaf is INTEGER:
                parts.append(str(int(rest.pop(0))))
            else:
                parts.append(str(leaf))
        return " ".join(parts)

    def arguments(self, sizes: Sequence[int]) -> tuple[Any, dict[str, Any]]:
        """Return the arguments with the shape of each tensor, a tuple, in its place."""
        rest = [int(size) for size in sizes]
        leaves: list[Any] = []
        for leaf in self.leaves:
            if isinstance(leaf, TensorForm):
                shape, rest = rest[: leaf.rank], rest[leaf.rank :]
                leaves.append(tuple(shape))
            else:
                leaves.append(rest.pop(0) if leaf is INTEGER else leaf)
        args, kwargs = tree_unflatten(leaves, self.tree)
        return args, kwargs

    def bound(self, sizes: Sequence[int], device: torch.device) -> Callable[[], Any]:
        """Return the call on random tensors of the given sizes."""
        args, kwargs = self.made(sizes, device)
        return lambda: self.function(*args, **kwargs)

    def made(
        self, sizes: Sequence[int], device: torch.device
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments, random tensors of the given sizes among them."""
        rest = [int(size) for size in sizes]
        leaves: list[Any] = []
        for leaf in self.leaves:
            if isinstance(leaf, TensorForm):
                shape, rest = rest[: leaf.rank], rest[leaf.rank :]
                leaves.append(_random(leaf, shape, device))
            else:
                leaves.append(rest.pop(0) if leaf is INTEGER else leaf)
        args, kwargs = tree_unflatten(leaves, self.tree)
        return args, kwargs


class Recorder(TorchFunctionMode):
    """Recorder of every operation that makes a tensor, except views, which are free."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation and note it."""
        call = Call.of(func, args, kwargs or {})  # before an operation that works in place
        taken = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        made = func(*args, **(kwargs or {}))
        results = [leaf for leaf in tree_flatten(made)[0] if isinstance(leaf, Tensor)]
        if taken and any(not _is_view(leaf, taken) for leaf in results):
            self.calls.append(call)
        return made


def _is_view(result: Tensor, taken: Iterable[Tensor]) -> bool:
    return all(result is not one for one in taken) and any(
        result.untyped_storage()._cdata == one.untyped_storage()._cdata for one in taken
    )


def _channels_last(tensor: Tensor) -> bool:
    return (
        tensor.dim() == 4
        and tensor.is_contiguous(memory_format=torch.channels_last)
        and not tensor.is_contiguous()
    )


def _random(form: TensorForm, shape: Sequence[int], device: torch.device) -> Tensor:
    if form.dtype.is_floating_point:
        tensor = torch.randn(*shape, device=device).to(form.dtype)
    else:
        tensor = torch.zeros(*shape, device=device, dtype=form.dtype)
    return tensor.contiguous(memory_format=torch.channels_last) if form.channels_last else tensor
