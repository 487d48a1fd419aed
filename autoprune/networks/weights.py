"""Trained weights (``--weights``) from a checkpoint or a run, checked against the network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import expand_user
from autoprune.networks.bitmap import unpack_masks
from autoprune.networks.state_dict import WRAPPERS, find_state, problem_of
from autoprune.runs.artifacts import MANIFEST, Artifacts

INITIAL, BASE, WEIGHTS = "initial.safetensors", "base.safetensors", "model.safetensors"
"""Weights in a run: initial ones, those of the dense network, those of the resulting network."""


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load trained weights into ``model``, all of them or, on any error, none.

    ``path`` is a run (:func:`weights_file`), a safetensors file, or a checkpoint that
    ``torch.load`` reads with ``weights_only``: tensors by name, bare or under ``WRAPPERS``.
    Prefixes that all names share are dropped or added as the model needs them, and masks of
    ``torch.nn.utils.prune`` are applied.

    Raises UsageError for a missing file, DamagedError for one that cannot be read, holds other
    objects than tensors, does not fit the model, or holds NaN or infinity.
    """
    path = weights_file(expand_user(path))
    if not path.is_file():
        what = f"no such file: {path}"
        if path.exists():
            what = f"{path} is {'a directory' if path.is_dir() else 'not a regular file'}"
        raise UsageError(what, "--weights takes a safetensors file or checkpoint")
    state = model.state_dict(keep_vars=True)
    given = _read(path, state)
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    _check_names(path, state, given)
    for name, value in given.items():
        _check_value(path, name, value, state[name], may_be_infinite=name in buffers)
    model.load_state_dict(given, strict=False)


def _check_value(
    path: Path, name: str, value: Tensor, like: Tensor, *, may_be_infinite: bool
) -> None:
    """Raise DamagedError unless a tensor can stand in place of one of the model's."""
    if value.shape != like.shape:
        raise DamagedError(
            f"{path}: {name} has shape {list(value.shape)}, the model's has {list(like.shape)}",
            "the weights belong to another network, or to another number of classes",
        )
    if problem := problem_of(value, like):
        raise DamagedError(f"{path}: {name} {problem}", "save plain tensors: a float32 state_dict")
    value = value.to(like.dtype)  # what was finite may not be any more
    bad = value.isnan() if may_be_infinite else ~value.isfinite()  # masks may be infinite
    if bool(bad.any()):
        raise DamagedError(f"{path}: {name} holds NaN or infinity", "save sound weights")


def weights_file(path: Path) -> Path:
    """Return the trained weights of the dense network of a run; other paths as they are.

    Raises UsageError for a run that has none yet, DamagedError if they are not what was written.
    """
    if not (path / MANIFEST).is_file():
        return path
    artifacts = Artifacts(path)
    for name in (BASE, WEIGHTS):
        if name in artifacts.names:
            return artifacts.file(name)
    raise UsageError(
        f"{path} holds no trained weights", "finish it: run the command that began it again"
    )


def initial_file(path: str | Path) -> Path | None:
    """Return the weights that the training in a run began with; None if there is no such file."""
    run = expand_user(path)
    if not (run / MANIFEST).is_file():
        return None
    artifacts = Artifacts(run)
    return artifacts.file(INITIAL) if INITIAL in artifacts.names else None


def _read(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read tensors by name, as the model names them, on the CPU."""
    if path.suffix == ".safetensors":
        return find_state(read_tensors(path), expected) or {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecated kinds of tensors, which are refused
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes provoke
        raise DamagedError(
            f"{path} is no checkpoint, or holds objects other than tensors"
            f" ({type(error).__name__}): not loaded",
            "write torch.save(model.state_dict(), path), or safetensors",
        ) from None
    found = find_state(loaded, expected)
    if found is None:
        raise DamagedError(
            f"{path} does not hold tensors by name", f"bare, or under {' or '.join(WRAPPERS)}"
        )
    return found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, on the CPU; raise DamagedError if it is none."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = f"{path} is not a safetensors file: {error}"
        raise DamagedError(reason, "copy or save it again") from None


def read_masks(path: Path) -> dict[str, Tensor]:
    """Read the masks of a file, bits or bytes; raise DamagedError if it holds none."""
    return unpack_masks(read_tensors(path))


def _check_names(path: Path, state: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Every tensor must be there, but for other names of a tied one and counters of batches."""
    present = {id(state[name]) for name in given if name in state}
    missing = [
        name
        for name, value in state.items()
        if name not in given
        and id(value) not in present
        and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in given if name not in state]
    if missing or unexpected:
        differences = [
            f"{len(names)} {word}, first {names[0]}"
            for word, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise DamagedError(
            f"{path} does not fit the model: {'; '.join(differences)}",
            "the weights are another network's",
        )
