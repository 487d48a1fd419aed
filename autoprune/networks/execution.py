"""Execution of a model: its modes, its device, its fastest arithmetic and memory layout."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
import torch.cpu
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.data.task import Batch, Task, arguments
from autoprune.errors import UsageError
from autoprune.networks.padding import padded

Precision = Literal["auto", "float32", "bfloat16"]

_MALLOC = {-3: 2**25, -1: 2**31 - 1}
"""glibc's M_MMAP_THRESHOLD, at the most it takes, and M_TRIM_THRESHOLD."""

PIXELS = 256
"""Convolutions over fewer pixels run no faster in bfloat16: overhead outweighs the arithmetic."""

PARAMETERS = 1_000_000
"""Networks without convolutions run faster in bfloat16 from this many parameters on."""


@dataclass(frozen=True)
class Form:
    """The arithmetic and the memory layout that a model is run in."""

    bfloat16: bool = False
    channels_last: bool = False


def forward(model: nn.Module, task: Task, batch: Batch, form: Form = Form()) -> Any:
    """Run ``model`` on the inputs that ``task`` finds in ``batch``; outputs come in float32."""
    args, kwargs = arguments(task, batch)
    if form.channels_last:
        args, kwargs = tree_map(_channels_last, (args, kwargs))
    with padded(kwargs):
        if not form.bfloat16:
            return model(*args, **kwargs)
        with torch.autocast(device_of(model).type, torch.bfloat16):
            outputs = model(*args, **kwargs)
    return tree_map(_float32, outputs)


def fastest_form(
    model: nn.Module,
    task: Task,
    batch: Batch,
    precision: Precision = "auto",
    *,
    training: bool = False,
) -> Form:
    """Return the fastest form in which ``model`` runs on ``batch`` and returns finite numbers.

    Not every model runs in every form: ``x.view(...)`` on a convolution's output needs the plain
    layout, some operations exist in float32 only. So each form is tried on two samples, in eval
    mode, without gradients. ``auto`` tries bfloat16 where this device computes it faster, which is
    less often the case with ``training``.
    Raises UsageError if the model does not run in bfloat16 although asked to.
    """
    low = precision == "bfloat16"
    if precision == "auto":
        low = bfloat16_pays(model, task, batch) and not (training and _grouped_on_cpu(model))
    few = tree_map(lambda leaf: leaf[:2], batch)
    failure: Exception | None = None
    for form in (Form(True, True), Form(True, False), Form(False, True)):
        if form.bfloat16 and not low:
            continue
        try:
            if _runs(model, task, few, form):
                return form
        except (RuntimeError, TypeError, NotImplementedError) as error:
            failure = error
        if precision == "bfloat16" and form == Form(True, False):
            reason = str(failure).splitlines()[0] if failure else "it returns NaN or infinity"
            raise UsageError(f"the model does not run in bfloat16: {reason}", "use float32")
    return Form()


def bfloat16_pays(model: nn.Module, task: Task, batch: Batch) -> bool:
    """Return whether ``model`` should run faster in bfloat16 than in float32 on its device."""
    device = device_of(model)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and _cpu_has_bfloat16()
    if not native:
        return False
    images = [leaf for leaf in tree_leaves(arguments(task, batch)) if _is_image(leaf)]
    if images:
        return any(leaf.shape[-1] * leaf.shape[-2] >= PIXELS for leaf in images)
    return sum(parameter.numel() for parameter in model.parameters()) >= PARAMETERS


@contextmanager
def laid_out(model: nn.Module, form: Form) -> Iterator[None]:
    """Bring the weights into the memory layout of ``form``; restore it at the end."""
    changed = []
    if form.channels_last:
        for tensor in chain(model.parameters(), model.buffers()):
            if tensor.ndim == 4 and tensor.is_contiguous():
                _store(tensor, torch.channels_last)
                changed.append(tensor)
    try:
        yield
    finally:
        for tensor in changed:
            _store(tensor, torch.contiguous_format)


@contextmanager
def mode(model: nn.Module, *, train: bool) -> Iterator[None]:
    """Put ``model`` in train or eval mode; restore the mode of every module at the end."""
    before = {module: module.training for module in model.modules()}
    model.train(train)
    try:
        yield
    finally:
        for module, was in before.items():
            module.training = was


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: small work gains nothing from more, and sums are reproducible."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def keep_memory() -> None:
    """Let the C library keep freed memory for the next pass.

    glibc returns large blocks to the system at once and requests them again, page by page, for
    every tensor: up to half of the time of a pass. Without glibc nothing happens.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if set_option is not None:
        for option, size in _MALLOC.items():
            set_option(option, size)


def return_memory() -> None:
    """Let the C library return what was freed to the system: it keeps what an analysis took.

    Networks that were freed in circles are collected first. Without glibc that is all.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer."""
    for tensor in chain(model.parameters(), model.buffers()):
        return tensor.device
    return torch.device("cpu")


def move(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on ``device``."""
    return tree_map(lambda leaf: leaf.to(device, non_blocking=True), batch)


def _runs(model: nn.Module, task: Task, batch: Batch, form: Form) -> bool:
    with torch.no_grad(), mode(model, train=False), laid_out(model, form):
        outputs = tree_leaves(forward(model, task, move(batch, device_of(model)), form))
    return all(bool(leaf.isfinite().all()) for leaf in outputs if isinstance(leaf, Tensor))


def _grouped_on_cpu(model: nn.Module) -> bool:
    """Gradients of grouped convolutions take a CPU longer in bfloat16: a MobileNet 1.4 times."""
    grouped = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in model.modules())
    return grouped and device_of(model).type == "cpu"


def _cpu_has_bfloat16() -> bool:
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _store(tensor: Tensor, memory_format: torch.memory_format) -> None:
    # A weight stored in inference mode could never be trained again.
    with torch.inference_mode(False):
        tensor.data = tensor.data.contiguous(memory_format=memory_format)


def _is_image(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.ndim == 4 and leaf.is_floating_point()


def _channels_last(leaf: Any) -> Any:
    return leaf.contiguous(memory_format=torch.channels_last) if _is_image(leaf) else leaf


def _float32(leaf: Any) -> Any:
    return leaf.float() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf
