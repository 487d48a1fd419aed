"""Recalibration of the batch-norm statistics of compact networks, from a few samples.

Pruning shifts what batch norms see, so their running statistics have to follow (Li et al. 2020,
EagleEye, arXiv:2007.02491, section 3.2). Recomputing them from a few
samples does harm as well: the samples are few, and lack the augmentation under which the dense
network's were gathered (a trained ResNet-20 loses 4 points of accuracy with nothing pruned).
Therefore only the change is measured. With m and v the mean and the variance of a norm's input over
the samples, m' and v' those in the dense network, and M and V the dense network's running
statistics,

    mean = M + (m - m'),    variance + eps = (V + eps) * (v + eps) / (v' + eps).

What the samples do to both networks cancels; where nothing is pruned, nothing changes (to within
the spread between batches: exactly, if there is one).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autoprune.data.task import Task
from autoprune.networks.batches import Batches
from autoprune.networks.execution import forward, mode
from autoprune.networks.frozen import frozen_parameters

ChannelStatistics = tuple[Tensor, Tensor]
"""Mean and unbiased variance of each channel, [channels] both."""

Listener = Callable[[str, _BatchNorm, ChannelStatistics], None]
"""Called with the path of a norm, the norm, and the statistics of its input."""


class Recalibration:
    """Recalibration of the batch-norm statistics of compact networks of one dense ``model``.

    ``references`` (buffer name -> tensor in the dense shape) take the place of the running
    statistics while a :class:`autoprune.structure.slicing.Slicer` makes the compact network (pass
    them among its ``weights``); calling the recalibration on that network turns them into
    statistics. The dense model is not changed. Norms without running statistics, and those that the
    user froze, are left alone. ``frozen``: names of the frozen parameters, where the model itself
    does not show them, as a slicer's shell.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        batches: Batches,
        frozen: Collection[str] | None = None,
    ) -> None:
        self._task, self._batches = task, batches
        seen: dict[str, list[ChannelStatistics]] = defaultdict(list)
        self._run(model, lambda path, norm, moments: seen[path].append(moments))
        norms = _norms(model)
        frozen = frozen_parameters(model) if frozen is None else frozen
        self.references: dict[str, Tensor] = {}
        for path, moments_of_norm in seen.items():
            if f"{path}.weight" in frozen:
                continue
            (mean, variance), eps = _average(moments_of_norm), norms[path].eps
            now_mean, now_variance = _statistics(norms[path])
            self.references[f"{path}.running_mean"] = now_mean - mean
            self.references[f"{path}.running_var"] = (now_variance + eps) / (variance + eps)

    def __call__(self, net: nn.Module, left: Collection[str] = ()) -> None:
        """Compute the statistics of ``net``, made with ``references``, in place.

        The norms of the paths ``left`` are left alone.

        Every batch is normalized by the statistics that follow from it; at the end they are the
        average over batches.
        """
        norms = _norms(net)
        known = {path for path in norms if f"{path}.running_mean" in self.references}
        paths = [path for path in norms if path in known and path not in left]
        if not paths:
            return
        references = {path: _statistics(norms[path]) for path in paths}
        statistics: dict[str, list[ChannelStatistics]] = defaultdict(list)

        def follow(path: str, norm: _BatchNorm, moments: ChannelStatistics) -> None:
            if path in references:
                statistics[path].append(_moved(moments, references[path], norm.eps))
                norm.running_mean, norm.running_var = statistics[path][-1]

        self._run(net, follow)
        for path, moments in statistics.items():
            norms[path].running_mean, norms[path].running_var = _average(moments)

    @torch.no_grad()
    def _run(self, net: nn.Module, see: Listener) -> None:
        """Run the samples in eval mode; call ``see`` with the statistics of each norm's input."""
        norms = _norms(net)
        if not norms:
            return

        def listen(path: str, norm: _BatchNorm, args: tuple[Any, ...]) -> None:
            see(path, norm, _moments(args[0], norm))

        with ExitStack() as stack:
            stack.enter_context(mode(net, train=False))
            for path, norm in norms.items():
                hook = norm.register_forward_pre_hook(partial(listen, path))
                stack.callback(hook.remove)
            for batch in self._batches:
                forward(net, self._task, batch, self._batches.form)


def _norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Batch norms with running statistics, by path."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_var is not None
    }


def _statistics(norm: _BatchNorm) -> ChannelStatistics:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None  # noqa: S101 (what _norms looked for)
    return mean, variance


def _moments(value: Tensor, norm: _BatchNorm) -> ChannelStatistics:
    """Mean and variance by torch's own kernel, the fastest there is for any type and layout."""
    mean, variance = map(torch.zeros_like, _statistics(norm))
    torch.batch_norm_update_stats(value, mean, variance, 1.0)
    return mean, variance


def _moved(
    moments: ChannelStatistics, reference: ChannelStatistics, eps: float
) -> ChannelStatistics:
    (mean, variance), (shift, ratio) = moments, reference
    return mean + shift, ((variance + eps) * ratio - eps).clamp_min(0)


def _average(moments: list[ChannelStatistics]) -> ChannelStatistics:
    means, variances = (torch.stack(part).mean(0) for part in zip(*moments, strict=True))
    return means, variances
