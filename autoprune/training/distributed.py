"""Training by several processes: each takes a part of every batch, and gradients are summed.

All draw the same batches, so a training does not depend on the number of processes, but for the
order of sums: a batch norm takes its statistics over all parts (as synchronized batch norm does,
Zhang et al. 2018, "Context Encoding for Semantic Segmentation", section 3.3), and a part counts by
its samples. The leader, rank 0, keeps checkpoints, validates and publishes; what it continues from
is sent to the others.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.data.task import Batch
from autoprune.errors import AutopruneError
from autoprune.foundation.launch import Launch
from autoprune.networks.threads import available_cores
from autoprune.training.checkpoint import State

_WAIT: Final = datetime.timedelta(hours=6)
"""How long a process waits for the others: one may be ranking or validating."""

_FAILED, _TRAIN, _DONE = range(3)


class LeaderFailedError(AutopruneError):
    """The leading process ended with an error, which it shows itself."""


class Team:
    """Processes that train one network together; see :func:`joined`."""

    def __init__(self, launch: Launch, device: torch.device) -> None:
        self.launch, self._device = launch, device

    def threads(self, asked: int) -> int:
        """Return the threads of each process: its share of this machine, unless some are asked."""
        return asked or max(1, available_cores() // self.launch.local_size)

    def backward(self, model: nn.Module, batch: Batch, loss_of: Callable[[Batch], Tensor]) -> float:
        """Set the gradients of the loss of a batch, the same in every process; return the loss.

        A part's loss is weighted before the backward pass, which crosses processes in batch norms.
        """
        part, share = self.part(batch)
        loss = share * loss_of(part)
        torch.autograd.backward(loss)
        value = loss.detach().float().view(1)
        gradients = [one.grad for one in model.parameters() if one.grad is not None]
        self.add_up([*gradients, value])
        return value.item()

    def part(self, batch: Batch) -> tuple[Batch, float]:
        """Return this process's part of a batch, and what part of the samples it is.

        A batch of fewer samples than processes is taken whole by all of them.
        """
        size = self.launch.size
        count = len(tree_leaves(batch)[0])
        if count < size:
            return batch, 1 / size
        rows = torch.arange(count).tensor_split(size)[self.launch.rank]
        start, end = int(rows[0]), int(rows[-1]) + 1
        return tree_map(lambda leaf: leaf[start:end], batch), len(rows) / count

    def add_up(self, values: Sequence[Tensor]) -> None:
        """Replace values by their sums over all processes, in one message."""
        flat = torch.cat([value.flatten() for value in values])
        dist.all_reduce(flat)
        parts = torch.split(flat, [value.numel() for value in values])
        for value, part in zip(values, parts, strict=True):
            value.copy_(part.view_as(value))

    def begin(self, state: State) -> None:
        """Let the others train from a state; called by the leader."""
        self._tell(_TRAIN, save({name: value.cpu().contiguous() for name, value in state.items()}))

    def end(self, result: bytes | None) -> None:
        """Tell the others the result, or that there is none; called by the leader."""
        self._tell(_FAILED if result is None else _DONE, result or b"")

    def listen(self) -> State | bytes:
        """Return the state to train from, or the result in the end; called by the others.

        Raises LeaderFailedError if the leader failed.
        """
        head = torch.zeros(2, dtype=torch.int64, device=self._device)
        dist.broadcast(head, 0)
        kind, length = head.tolist()
        if kind == _FAILED:
            raise LeaderFailedError("the leading process failed")
        content = torch.zeros(length, dtype=torch.uint8, device=self._device)
        dist.broadcast(content, 0)
        found = content.cpu().numpy().tobytes()
        return load(found) if kind == _TRAIN else found

    def _tell(self, kind: int, content: bytes) -> None:
        head = torch.tensor([kind, len(content)], device=self._device)
        dist.broadcast(head, 0)
        if content:
            data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            dist.broadcast(data.to(self._device), 0)


@contextmanager
def joined(launch: Launch, device: torch.device) -> Iterator[Team | None]:
    """Join the launched processes; yields None if this is the only one.

    What the leader raises ends the others too.
    """
    if launch.size == 1:
        yield None
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_WAIT)
    team = Team(launch, device)
    try:
        yield team
    except Exception:
        if launch.leads:
            with suppress(RuntimeError):  # what ended the leader may have ended the others, too
                team.end(None)
        raise
    finally:
        dist.destroy_process_group()


@contextmanager
def synchronized(model: nn.Module) -> Iterator[None]:
    """Let batch norms in training mode take their statistics over all processes."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    try:
        for norm in norms:
            norm.__dict__["forward"] = partial(_normalize, norm)
        yield
    finally:
        for norm in norms:
            norm.__dict__.pop("forward", None)


def _normalize(norm: _BatchNorm, value: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, value)
    wide = value.float()
    dims = [dim for dim in range(value.dim()) if dim != 1]
    shape = [1, -1, *(1,) * (value.dim() - 2)]
    count = _sum(torch.tensor([float(value.numel() // value.shape[1])], device=value.device))
    mean = _sum(wide.sum(dims)) / count
    centered = wide - mean.view(shape)
    variance = _sum(centered.square().sum(dims)) / count
    scaled = centered * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        scaled = scaled * norm.weight.float().view(shape) + norm.bias.float().view(shape)
    if norm.track_running_stats:
        _track(norm, mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
    return scaled.to(value.dtype)


@torch.no_grad()
def _track(norm: Any, mean: Tensor, variance: Tensor) -> None:
    """Update the running statistics, by ``variance`` without bias."""
    norm.num_batches_tracked.add_(1)
    share = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)


def _sum(value: Tensor) -> Tensor:
    summed: Tensor = all_reduce(value)  # type: ignore[no-untyped-call]
    return summed
