"""Copies of a network to work on: without the user's hooks, in either mode.

A hook may keep tensors in a list of the user's or change what a module gives. Copies lose the
hooks, but for those of the library that built it (spectral norm, observers); a network that is
another one without them is refused.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from types import CellType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.errors import UsageError

_TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
COPIED = (
    "make its weights plain first: torch.nn.utils.prune.remove, remove_weight_norm; "
    "detach the tensors its modules keep"
)
"""What to do about a network that cannot be copied."""

_THEIRS = ("torch.", "transformers.")
"""Modules whose hooks are part of the network: spectral norm, hidden states that heads read."""

_LEAVES = ("_parameters", "_modules")
"""Attributes of modules that hold no activations: parameters are leaves, modules are visited."""

_EMPTY = (int, str, dict, set, list, tuple, type(None))
"""Types of attributes that hold no tensor if they are false; most attributes of modules are so."""

_PLAIN = (int, float, complex, str, bytes, bool, type(None), type, ModuleType)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside ``torch.compile(network)``: each plan would be compiled anew."""
    while type(model).__name__ == "OptimizedModule" and "_orig_mod" in model._modules:
        model = model.get_submodule("_orig_mod")
    return model


def plain_copy(model: nn.Module) -> nn.Module:
    """Copy a network without the user's hooks."""
    twin = _copied(model, {})
    for _, table in list(_hook_tables(twin)):
        for key in [key for key, hook in table.items() if not _of_library(hook)]:
            del table[key]
    forget(keepers(twin))
    return twin


def keepers(model: nn.Module) -> list[nn.Module]:
    """Return the modules with a ``train`` of their own: they may keep results between passes."""
    return [one for one in model.modules() if type(one).train is not nn.Module.train]


def forget(modules: Iterable[nn.Module]) -> None:
    """Let modules drop what they keep in evaluation (LeViT: biases of attention), modes unchanged.

    Such results are those of the weights at that time; entering training is what ends them.
    """
    for module in modules:
        modes = [(one, one.training) for one in module.modules()]
        module.train()
        for one, mode in modes:
            one.training = mode


def require_no_need_of_hooks(model: nn.Module, run: Callable[[nn.Module], Any]) -> None:
    """Raise UsageError naming the hooks of a network, if it is another one without them.

    ``run`` runs a network. Both copies get other weights than the network has: a hook may compute
    one weight from others, and the weight it computed last is still there. The hooks run once, on
    copies of the lists and tables that they write to.
    """
    names = {
        path for path, table in _hook_tables(model) if not all(map(_of_library, table.values()))
    }
    if not names:
        return
    try:
        outputs = [_outputs(run, twin) for twin in (_isolated(model), plain_copy(model))]
        alike = _alike(*outputs)
    except Exception:  # the hooks, or a forward pass that misses what they keep
        alike = False
    if not alike:
        modules = ", ".join(sorted(name or "the model itself" for name in names))
        raise UsageError(f"forward hooks on {modules}", "remove them before pruning")


def disturb(model: nn.Module) -> nn.Module:
    """Disturb the weights in place, so that no zero and no fresh norm can hide a wrong wire.

    Matrices that are small for what they read are made larger: between them, a softmax over scores
    near zero hides by what the scores were divided.
    """
    generator = torch.Generator().manual_seed(0)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator).to(tensor)
            if tensor.dim() < 2:
                tensor.data.mul_(noise + 0.5).add_(0.1 * noise)
            elif not tensor.any():
                tensor.data.add_(0.1 * (noise - 0.5))
            elif isinstance(tensor, nn.Parameter):
                usual, size = (
                    tensor[0].numel() ** -0.5,
                    float(tensor.double().square().mean()) ** 0.5,
                )
                tensor.data.mul_(max(1.0, usual / size))
    return model


def set_mode(model: nn.Module, training: bool) -> nn.Module:
    """Put a copy in training mode where that may change its wiring: outside torch's own layers.

    Batch norm and dropout run the same operators in both modes, but in training they refuse
    single samples, count batches and draw random numbers.
    """
    model.eval()
    for module in model.modules() if training else ():
        module.training = not type(module).__module__.startswith("torch.nn.modules")
    return model


def _copied(model: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Copy a network; activations that its modules keep are cut from what they came from."""
    model = unwrapped(model)
    for module in model.modules():
        for name, value in module.__dict__.items():
            if name not in _LEAVES and not (isinstance(value, _EMPTY) and not value):
                _cut_off(value, memo)
    return copy.deepcopy(model, memo)


def _cut_off(value: Any, memo: dict[int, Any]) -> None:
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor) and not leaf.is_leaf:
            memo[id(leaf)] = leaf.detach().clone()


def _held(value: Any, memo: dict[int, Any]) -> Any:
    _cut_off(value, memo)
    return copy.deepcopy(value, memo)


def _hook_tables(model: nn.Module) -> Iterator[tuple[str, dict[int, Any]]]:
    for path, module in unwrapped(model).named_modules():
        for table in _TABLES:
            hooks = module.__dict__.get(table)
            if hooks:
                yield path, hooks


def _of_library(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(_THEIRS)


def _outputs(run: Callable[[nn.Module], Any], model: nn.Module) -> list[Tensor]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in model.parameters():
            parameter.mul_(1 + torch.rand(parameter.shape).to(parameter))
        leaves = tree_leaves(run(model.eval()))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _alike(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and torch.allclose(a.double(), b.double(), equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )


def _isolated(model: nn.Module) -> nn.Module:
    """Copy a network whose hooks write to copies of what they wrote to."""
    memo: dict[int, Any] = {}
    twin = _copied(model, memo)
    for _, table in _hook_tables(twin):
        for key, hook in table.items():
            table[key] = _rebound(hook, memo)
    return twin


def _rebound(value: Any, memo: dict[int, Any]) -> Any:
    """Copy what a function holds, functions inside it included."""
    if isinstance(value, functools.partial):
        held = _held((value.args, value.keywords), memo)
        return functools.partial(_rebound(value.func, memo), *held[0], **held[1])
    if not isinstance(value, FunctionType):
        return _held(value, memo)
    if id(value) in memo:
        return memo[id(value)]
    names = value.__code__.co_names
    known = value.__globals__
    own = {name: known[name] for name in names if name in known and _may_change(known[name])}
    cells = tuple(CellType() for _ in value.__closure__ or ())
    twin = FunctionType(
        value.__code__,
        {**known, **{name: _held(item, memo) for name, item in own.items()}},
        value.__name__,
        _held(value.__defaults__, memo),
        cells,
    )
    twin.__kwdefaults__ = _held(value.__kwdefaults__, memo)
    memo[id(value)] = twin
    for cell, old in zip(cells, value.__closure__ or (), strict=True):
        cell.cell_contents = _rebound(old.cell_contents, memo)
    return twin


def _may_change(value: Any) -> bool:
    return not isinstance(value, _PLAIN) and not callable(value)
