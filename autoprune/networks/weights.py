"""Trained weights (``--weights``) from a checkpoint or a run, checked against the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autoprune.errors import DamagedError, UsageError
from autoprune.runs.artifacts import MANIFEST, Artifacts

INITIAL, BASE, WEIGHTS = "initial.safetensors", "base.safetensors", "model.safetensors"
"""Weights in a run: initial ones, those of the dense network, those of the resulting network."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which checkpoints keep the weights."""


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load trained weights into ``model``, all of them or, on any error, none.

    ``path`` is a run (:func:`weights_file`), a safetensors file, or a checkpoint that
    ``torch.load`` reads with ``weights_only``: tensors by name, bare or under one of ``WRAPPERS``.
    A prefix of all names is dropped (DataParallel's, that of a compiled or wrapped network), and
    the masks of ``torch.nn.utils.prune`` are multiplied in.

    Raises UsageError for a missing file, DamagedError for one that cannot be read, holds other
    objects than tensors, does not fit the model, or holds NaN or infinity.
    """
    path = weights_file(Path(path).expanduser())
    if not path.is_file():
        what = f"{path} is a directory" if path.is_dir() else f"no such file: {path}"
        raise UsageError(what, "--weights takes a safetensors file or checkpoint")
    given = _read(path)
    state = model.state_dict(keep_vars=True)
    given = _masked(_without_prefix(given, state))
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    _check_names(path, state, given)
    for name, value in given.items():
        if value.shape != state[name].shape:
            raise DamagedError(
                f"{path}: {name} has shape {list(value.shape)}, the model's has"
                f" {list(state[name].shape)}",
                "the weights belong to another network, or to another number of classes",
            )
        if value.is_floating_point() != state[name].is_floating_point():
            kinds = [str(one.dtype).removeprefix("torch.") for one in (value, state[name])]
            raise DamagedError(
                f"{path}: {name} is {kinds[0]}, the model's is {kinds[1]}", "save it unquantized"
            )
        bad = value.isnan() if name in buffers else ~value.isfinite()  # masks may be infinite
        if bool(bad.any()):
            raise DamagedError(f"{path}: {name} holds NaN or infinity", "save sound weights")
    model.load_state_dict(given, strict=False)


def _without_prefix(given: dict[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what all names begin with, as long as none of them is the model's."""
    while given and not any(name in state for name in given):
        prefixes = {name.partition(".")[0] for name in given if "." in name[:-1]}
        if len(prefixes) != 1 or not all("." in name for name in given):
            break
        given = {name.partition(".")[2]: value for name, value in given.items()}
    return given


def _masked(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply the weights that ``torch.nn.utils.prune`` keeps beside their masks."""
    for name in [name for name in given if name.endswith("_orig")]:
        plain = name.removesuffix("_orig")
        mask = given.get(f"{plain}_mask")
        if mask is not None and plain not in given and mask.shape == given[name].shape:
            given[plain] = given.pop(name) * given.pop(f"{plain}_mask")
    return given


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
    run = Path(path).expanduser()
    if not (run / MANIFEST).is_file():
        return None
    artifacts = Artifacts(run)
    return artifacts.file(INITIAL) if INITIAL in artifacts.names else None


def _read(path: Path) -> dict[str, Tensor]:
    """Read tensors by name, on the CPU."""
    if path.suffix == ".safetensors":
        return read_tensors(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes provoke
        raise DamagedError(
            f"{path} is no checkpoint, or holds objects other than tensors"
            f" ({type(error).__name__}): not loaded",
            "write torch.save(model.state_dict(), path), or safetensors",
        ) from None
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise DamagedError(
            f"{path} does not hold tensors by name", f"bare, or under {' or '.join(WRAPPERS)}"
        )
    return loaded


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, on the CPU; raise DamagedError if it is none."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = f"{path} is not a safetensors file: {error}"
        raise DamagedError(reason, "copy or save it again") from None


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
