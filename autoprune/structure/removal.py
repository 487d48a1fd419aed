"""Removal of branches from a network: what is left adds a constant, and runs nothing.

The modules of a branch are replaced by ``Removed``, which gives out ``Gone``: a value that answers
every operation with itself, until it is added to something. So whatever the code does between the
modules of the branch is not done either, and the code stays the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.errors import UsageError
from autoprune.structure.cut_record import note_removal
from autoprune.structure.table import TUPLE, VALUE, Removal, Template

SUMS: Final = frozenset(
    {
        *(torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__),
    }
)
"""Additions, as torch calls them."""

_ANSWERS: Final = frozenset(
    "shape dtype device ndim layout is_cuda is_cpu is_meta requires_grad is_sparse is_quantized "
    "is_nested names itemsize nbytes size dim numel nelement stride is_floating_point is_complex "
    "is_contiguous get_device element_size".split()
)
"""What is asked about a value, answered by the value that went into the branch."""

_VIEWS: Final = frozenset(("T", "mT", "H", "mH", "data", "real"))


class Gone:
    """Value of a branch that is gone; ``constant`` is added in its place, None before the end.

    ``like`` is the value that went in.
    """

    def __init__(self, like: Tensor, constant: Tensor | None = None) -> None:
        self.like, self.constant = like, constant

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Add the constant, or answer with the value itself."""
        gone = next(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, cls))
        if func in SUMS:
            return gone._sum(args[1] if args[0] is gone else args[0])
        return gone

    def _sum(self, other: Any) -> Any:
        if isinstance(other, Gone):
            if self.constant is None or other.constant is None:
                return other if self.constant is None else self
            return Gone(self.like, self.constant + other.constant)
        if self.constant is None:
            return self
        return other + self.constant.to(other.dtype) if isinstance(other, Tensor) else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _ANSWERS:
            return getattr(self.like, name)
        return self if name in _VIEWS else self._same

    def _same(self, *args: object, **kwargs: object) -> Self:
        return self

    def __len__(self) -> int:
        return len(self.like)

    def __add__(self, other: Any) -> Any:
        return self._sum(other)

    __radd__ = __iadd__ = __add__
    __sub__ = __rsub__ = __isub__ = __mul__ = __rmul__ = __imul__ = __neg__ = _same
    __truediv__ = __itruediv__ = __pow__ = __matmul__ = __rmatmul__ = __getitem__ = _same

    def __repr__(self) -> str:
        return "gone"


class Removed(nn.Module):
    """What stands in the place of a module that went with a branch.

    ``constant`` [units, 1, ...] is added in the place of the branch, by the last of its modules.
    """

    def __init__(self, template: Template, constant: Tensor | None) -> None:
        super().__init__()
        self.template = template
        self.constant = None if constant is None else nn.Parameter(constant)

    def forward(self, *args: object, **kwargs: object) -> Any:
        """Give out what the module gave out, gone."""
        values = [one for one in tree_leaves((args, kwargs)) if isinstance(one, (Tensor, Gone))]
        if not values:
            raise ValueError("a branch that is gone was called without a value")
        first = next((one for one in values if isinstance(one, Gone)), values[0])
        like = first.like if isinstance(first, Gone) else first
        held = first.constant if isinstance(first, Gone) else None
        gone = Gone(like, held if self.constant is None else self.constant)
        return _filled(self.template, gone)

    def extra_repr(self) -> str:
        """Say whether something is left."""
        return "a constant is left" if self.constant is not None else ""


def remove(model: nn.Module, removal: Removal, constant: Tensor) -> None:
    """Take a branch out of a network in place; ``constant`` [units] is added instead.

    Raises UsageError if a module of it is not there.
    """
    shape = (-1, *(1,) * (removal.rank - 1 - removal.dim))
    note_removal(model, removal, len(constant))
    last = len(removal.modules) - 1
    for place, (path, template) in enumerate(zip(removal.modules, removal.templates, strict=True)):
        parent, _, name = path.rpartition(".")
        try:
            holder, old = model.get_submodule(parent), model.get_submodule(path)
        except AttributeError as error:
            raise UsageError(f"the model has no module {path!r}", "it is another one") from error
        left = constant.view(shape).clone() if place == last else None
        stand_in = Removed(template, left).train(old.training)
        stand_in.requires_grad_(any(one.requires_grad for one in old.parameters()))
        holder._modules[name] = stand_in


def number_caches(model: nn.Module) -> None:
    """Count the attention layers that are left anew, where they keep numbers (``layer_idx``).

    Models of transformers store keys and values under that number, and read their length from the
    first. Layers that attend to an encoder are counted apart. Nothing is done where a number is
    part of the arithmetic (``scale_attn_by_inverse_layer_idx``).
    """
    layers: dict[bool, dict[int, list[nn.Module]]] = {False: {}, True: {}}
    for path, module in model.named_modules():
        number = module.__dict__.get("layer_idx")
        if module.__dict__.get("scale_attn_by_inverse_layer_idx"):
            return
        if type(number) is int and not any(isinstance(one, Removed) for one in module.modules()):
            name = path.rpartition(".")[2].lower()
            layers["enc" in name or "cross" in name].setdefault(number, []).append(module)
    for alike in layers.values():
        for place, number in enumerate(sorted(alike)):
            for module in alike[number]:
                module.__dict__["layer_idx"] = place


def templates(
    model: nn.Module, paths: Iterable[str], run: Callable[[nn.Module], Any]
) -> dict[str, Template]:
    """Return what modules give out when a network runs; those of which that cannot be told lack.

    ``run`` runs the network, a copy.
    """
    found: dict[str, Template] = {}
    handles = []
    for path in paths:

        def see(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
            template = _template(output)
            if template is not None:
                found[path] = template

        handles.append(model.get_submodule(path).register_forward_hook(see))
    try:
        run(model)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _template(output: Any) -> Template:
    """Describe an output; None where it holds no tensor or something else."""
    if isinstance(output, Tensor):
        return VALUE
    if type(output) in (list, tuple):
        parts = [_template(part) for part in output]
        head: list[Template] = [TUPLE] if isinstance(output, tuple) else []
        return head + parts if any(part is not None for part in parts) else None
    if type(output) is dict and all(isinstance(key, str) for key in output):
        named = {key: _template(part) for key, part in output.items()}
        return named if any(part is not None for part in named.values()) else None
    return None


def _filled(template: Template, gone: Gone) -> Any:
    if template == VALUE:
        return gone
    if isinstance(template, list):
        tuple_ = bool(template) and template[0] == TUPLE
        parts = [_filled(part, gone) for part in template[tuple_:]]
        return tuple(parts) if tuple_ else parts
    if isinstance(template, dict):
        return {key: _filled(part, gone) for key, part in template.items()}
    return None
