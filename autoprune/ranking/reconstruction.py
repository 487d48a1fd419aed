"""Reconstruction of a compact network, layer by layer, from the outputs of its earlier layers.

A ranking repairs each layer as if only its own inputs were missing. In the compact network it also
gets the errors of earlier layers. Therefore the layers are fitted once more in execution order: to
the dense network's outputs Y, from the inputs X' that the already fitted layers yield (He et al.
2017, arXiv:1707.06168, section 3.2, "whole model pruning"),

    W' = argmin |X' W' - Y|^2 + eps |W' - W|^2 = (X'X' + eps I)^-1 (X'Y + eps W),

W being the repaired weights. One forward pass does it: each layer is solved for when its input is
there, and then runs with the new weights; batch norms take the statistics of the pass on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, device_of, forward, mode, move
from autoprune.networks.frozen import frozen_parameters
from autoprune.ranking.cholesky import cholesky
from autoprune.ranking.consumers import CONVS
from autoprune.ranking.gram import add_products, precise, squares_lost
from autoprune.ranking.patches import patches
from autoprune.ranking.recalibration import Recalibration
from autoprune.ranking.shortcuts import divided_by, settle_mean, shortcuts
from autoprune.structure.slicing import Slicer


@dataclass(frozen=True)
class ReconstructionConfig:
    """Settings of a reconstruction: how much data and memory it takes, and its damping."""

    rows: int = 16_000
    """Most input patches that a layer is fitted to."""
    patch_bytes: int = 1 << 28
    """Most bytes of them; wide layers are fitted to fewer."""
    activation_bytes: int = 1 << 28
    """Most bytes of any one activation of the pass; large inputs mean fewer samples."""
    damping: float = 1e-2
    """eps, relative to the mean of the diagonal of X'X'."""


DEFAULT: Final = ReconstructionConfig()


@dataclass(frozen=True)
class _Target:
    """Target of a layer: the dense layer's outputs on the patches drawn by ``seed``."""

    seed: int
    limit: int
    outputs: Tensor

    def rows(self, module: nn.Module, value: Tensor) -> Tensor:
        """Draw the same patches of another input of the layer, [rows, inputs]."""
        return _rows(module, value, self.limit, self.seed)


class Reconstruction:
    """Builder of compact networks whose layers are fitted to a dense ``model``'s outputs, in turn.

    ``calibration``: training samples; as many are used as ``activation_bytes`` allow. Fitted are
    convolutions without groups and linear layers that are called once, share no weight and are not
    frozen. The dense model is not changed.
    """

    def __init__(
        self,
        model: nn.Module,
        slicer: Slicer,
        task: Task,
        calibration: Samples,
        config: ReconstructionConfig = DEFAULT,
    ) -> None:
        self._slicer, self._task, self._config = slicer, task, config
        count = max(2, config.activation_bytes // _widest(model, task, calibration.take(2)))
        samples = calibration.take(min(count, len(calibration)))
        self._batches = Batches(samples, len(samples), model, Form(), seed=0)
        self._recalibrate = Recalibration(model, task, self._batches)
        self._targets = self._aim(model)

    def __call__(self, kept: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> nn.Module:
        """Return the compact network of the units ``kept``, repaired by ``weights``, then fitted.

        Its batch-norm statistics are those of the pass; see :mod:`autoprune.ranking.recalibration`.
        """
        settled = {
            shortcut.ending.norm for shortcut in self._shortcuts.values() if shortcut.ending.norm
        }
        references = {
            name: value
            for name, value in self._recalibrate.references.items()
            if name.rpartition(".")[0] not in settled
        }
        net = self._slicer.build(kept, {**weights, **references})
        indices, modules = self._slicer.indices(kept), dict(net.named_modules())
        with ExitStack() as stack:
            for shortcut in self._shortcuts.values():
                entry = modules.get(shortcut.ending.entry)
                if entry is not None:
                    hook = entry.register_forward_pre_hook(shortcut.see, with_kwargs=True)
                    stack.callback(hook.remove)
            for path, target in self._targets.items():
                layer = modules.get(path)
                if layer is None or "weight" not in layer._parameters:
                    continue  # it went with a branch
                fit = partial(self._fit, path, target, indices.get((f"{path}.weight", 0)), modules)
                stack.callback(layer.register_forward_pre_hook(fit).remove)
            if self._recalibrate.references:
                self._recalibrate(net, settled)  # passes the samples once; norms follow on the way
            else:
                self._pass(net)
        return net

    def _fit(
        self,
        path: str,
        target: _Target,
        stays: Tensor | None,
        modules: Mapping[str, nn.Module],
        module: nn.Module,
        args: tuple[Any, ...],
    ) -> None:
        """Solve for a layer when its input is there."""
        wanted = target.outputs if stays is None else target.outputs[:, stays]
        rows = target.rows(module, args[0])
        shortcut = self._shortcuts.get(path)
        if shortcut is None:
            _solve(module, rows, wanted, self._config.damping)
            return
        norm = modules.get(shortcut.ending.norm or "")
        units = torch.arange(target.outputs.shape[1]) if stays is None else stays
        lacks = shortcut.lacks(units, divided_by(norm))
        wanted = wanted if lacks is None else wanted + lacks
        _solve(module, rows, wanted, self._config.damping)
        settle_mean(norm, wanted, _product(module, rows))

    def _aim(self, model: nn.Module) -> dict[str, _Target]:
        """Return the targets of the layers, from one pass through the dense network."""
        targets: dict[str, _Target] = {}
        calls: Counter[str] = Counter()
        drawn = {
            path: (seed, self._limit(layer))
            for seed, (path, layer) in enumerate(_layers(model).items())
        }
        self._shortcuts = shortcuts(self._slicer.branches, drawn)
        with ExitStack() as stack:
            for shortcut in self._shortcuts.values():
                entry = model.get_submodule(shortcut.ending.entry)
                hook = entry.register_forward_pre_hook(shortcut.see_dense, with_kwargs=True)
                stack.callback(hook.remove)
            for path, (seed, limit) in drawn.items():

                def see(
                    module: nn.Module,
                    args: tuple[Any, ...],
                    path: str = path,
                    seed: int = seed,
                    limit: int = limit,
                ) -> None:
                    """Draw patches of a layer's input and keep its outputs on them."""
                    calls[path] += 1
                    rows = _rows(module, args[0], limit, seed)
                    targets[path] = _Target(seed, limit, _product(module, rows))

                layer = model.get_submodule(path)
                stack.callback(layer.register_forward_pre_hook(see).remove)
            self._pass(model)
        return {path: target for path, target in targets.items() if calls[path] == 1}

    def _limit(self, layer: nn.Module) -> int:
        """Most patches that a layer is fitted to."""
        fitting = self._config.patch_bytes // (4 * _matrix(layer).shape[1])
        return min(self._config.rows, fitting)

    @torch.no_grad()
    def _pass(self, net: nn.Module) -> None:
        with mode(net, train=False):
            for batch in self._batches:
                forward(net, self._task, batch)


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """Layers that can be fitted, by path: their weight is theirs alone, and their product known."""
    frozen = frozen_parameters(model)
    holders = Counter(
        id(parameter) for module in model.modules() for parameter in module._parameters.values()
    )
    return {
        path: module
        for path, module in model.named_modules()
        if (isinstance(module, CONVS) and module.groups == 1) or isinstance(module, nn.Linear)
        if module._parameters.get("weight") is not None
        if f"{path}.weight" not in frozen
        if holders[id(module._parameters["weight"])] == 1
    }


def _matrix(module: nn.Module) -> Tensor:
    """Weights of a layer, [outputs, inputs * kernel]."""
    weight = module._parameters["weight"]
    assert weight is not None  # noqa: S101 (what _layers looked for)
    return weight.detach().flatten(1)


def _rows(module: nn.Module, value: Tensor, limit: int, seed: int) -> Tensor:
    """Draw input patches, with a column of ones where the layer has a bias, [rows, inputs]."""
    drawn = patches(module, value, limit, torch.Generator().manual_seed(seed)).float()
    return F.pad(drawn, (0, 1), value=1.0) if module._parameters.get("bias") is not None else drawn


def _solution(module: nn.Module) -> Tensor:
    """Weights and bias of a layer as least squares has them, [inputs, outputs]."""
    bias = module._parameters.get("bias")
    weights = _matrix(module).float()
    return (weights if bias is None else torch.cat([weights, bias.detach()[:, None]], 1)).T


def _product(module: nn.Module, rows: Tensor) -> Tensor:
    return rows @ _solution(module)


def _solve(module: nn.Module, rows: Tensor, wanted: Tensor, damping: float) -> None:
    """Solve for the weights (and bias) nearest to ``wanted``, in place."""
    before = _solution(module).double()
    if squares_lost(rows) or squares_lost(wanted):
        rows, wanted = precise(rows), precise(wanted)
    products = rows.new_zeros(rows.shape[1], rows.shape[1])
    add_products(products, rows)
    gram = products.double() / len(rows)  # its lower triangle is what a Cholesky factor is made of
    eps = damping * gram.diagonal().mean() + torch.finfo(torch.float32).tiny
    right = (rows.T @ wanted).double() / len(rows) + eps * before
    gram.diagonal().add_(eps)
    solved = torch.cholesky_solve(right, cholesky(gram)).T
    if not bool(solved.isfinite().all()):
        return
    columns = _matrix(module).shape[1]
    weight, bias = module._parameters["weight"], module._parameters.get("bias")
    assert weight is not None  # noqa: S101 (what _layers looked for)
    weight.data.copy_(solved[:, :columns].reshape(weight.shape))
    if bias is not None:
        bias.data.copy_(solved[:, columns])


@torch.no_grad()
def _widest(model: nn.Module, task: Task, few: Samples) -> int:
    """Bytes of the largest activation of one sample."""
    sizes = [1]

    def see(module: nn.Module, args: Any, output: Any) -> None:
        sizes.extend(
            leaf.numel() * 4 // len(few) for leaf in tree_leaves(output) if torch.is_tensor(leaf)
        )

    batch = move(next(few.batches(len(few))), device_of(model))
    with ExitStack() as stack, mode(model, train=False):
        for module in model.modules():
            stack.callback(module.register_forward_hook(see).remove)
        forward(model, task, batch)
    return max(sizes)
