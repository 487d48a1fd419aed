"""Saved compact networks: a spec in JSON and the weights in safetensors; nothing is pickled.

``model.json``, format 1: ``{"format", "model": factory or null, "indices": [[tensor, dim, [...]]],
"widths": [[module, attribute, size]], "sparse": [tensor]}``; format 2 has ``"removed": [[modules,
what they give out, rank, dim, units]]``, too. Loading builds the dense network, keeps the indices
along each dimension, takes out the branches that were removed, and fills in the weights of
``model.safetensors``, where the ``sparse`` tensors are packed (:mod:`autoprune.networks.bitmap`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from autoprune.errors import AutopruneError, DamagedError, UsageError
from autoprune.foundation.files import make_directory, pretty, text_writer
from autoprune.networks.bitmap import pack, unpack
from autoprune.networks.spec import ModelSpec
from autoprune.runs.artifacts import Artifacts
from autoprune.structure.copies import unwrapped
from autoprune.structure.cut_record import Cut, recorded_cut
from autoprune.structure.cutting import Indices, Widths, cut
from autoprune.structure.removal import number_caches, remove
from autoprune.structure.table import Removal

FORMAT, FORMAT_OF_BRANCHES = 1, 2
MOST_DIMS, MOST_UNITS = 8, 2**31
SPEC, WEIGHTS = "model.json", "model.safetensors"
Removals = Sequence[tuple[Removal, int]]
"""Branches that were taken out, each with the size of the constant in its place."""

_ANOTHER = "it was saved from another model or version"


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, tied ones once, ready for safetensors."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach().cpu().contiguous()
    return tensors


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors; raises OSError when the disk is full."""
    path.touch()
    mode = path.stat().st_mode  # safetensors would let nobody but the owner read it
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(path))
        path.chmod(mode)
    except SafetensorError as error:
        code = int(number[1]) if (number := re.search(r"\(os error (\d+)\)", str(error))) else 0
        raise OSError(code, os.strerror(code) if code else str(error)) from error


def spec_json(
    spec: ModelSpec | None,
    indices: Indices,
    widths: Widths,
    sparse: Sequence[str] = (),
    removed: Removals = (),
) -> dict[str, Any]:
    """Describe a pruned network; ``spec`` builds the dense one, None if only the caller can.

    ``sparse`` names the tensors that its weights file holds packed; ``removed`` are the branches
    that were taken out.
    """
    gone = {"removed": [[*astuple(removal), size] for removal, size in removed]} if removed else {}
    return {
        "format": FORMAT_OF_BRANCHES if removed else FORMAT,
        "model": spec.to_json() if spec else None,
        "indices": [[name, dim, index.tolist()] for (name, dim), index in indices.items()],
        "widths": [[path, attribute, size] for (path, attribute), size in widths.items()],
        "sparse": list(sparse),
        **gone,
    }


def save(model: nn.Module, path: str | Path) -> None:
    """Save a compact network, as it is now, to a directory that :func:`load` reads.

    Whatever ``prune``, ``mask``, a search or ``load`` returned, trained further or not, wrapped in
    ``DataParallel`` or compiled. Loading it takes a dense network of the same class:
    ``load(path, model=MyNet())``. Nothing is pickled.

    Raises UsageError if the path exists and is not empty, AutopruneError if it cannot be written.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists and is not empty", "choose another path")
    make_directory(target)
    write_network(Artifacts(target), model, None)


def write_network(
    artifacts: Artifacts, model: nn.Module, spec: ModelSpec | None, sparse: Sequence[str] = ()
) -> None:
    """Publish a network as it is now: how it was cut, and its weights.

    ``sparse`` names the tensors whose zeros are not stored.
    """
    model = _innermost(model)
    made = recorded_cut(model)
    tensors = state_tensors(model)
    masks = {name: tensors[name] != 0 for name in sparse}
    described = spec_json(spec, made.indices, made.widths, sparse, made.removed)
    artifacts.publish(SPEC, text_writer(pretty(described)))
    artifacts.publish(WEIGHTS, partial(write_tensors, tensors=pack(tensors, masks)))


def rewrite_network(artifacts: Artifacts, model: nn.Module) -> None:
    """Publish a network again if its weights are no longer those that are stored."""
    spec, _, sparse = _read_spec(artifacts.json(SPEC), artifacts.path / SPEC)
    tensors = state_tensors(_innermost(model))
    shapes = {name: value.shape for name, value in tensors.items()}
    stored = load_file(str(artifacts.file(WEIGHTS)))
    try:
        held = unpack(stored, sparse, shapes)
    except DamagedError:  # another shape: cut further
        held = {}
    same = held.keys() == tensors.keys() and all(
        held[name].shape == value.shape and torch.equal(held[name], value)
        for name, value in tensors.items()
    )
    if not same:
        write_network(artifacts, model, spec, sparse)


def _innermost(model: nn.Module) -> nn.Module:
    """Return the network inside ``DataParallel`` and ``torch.compile``, however they are nested."""
    while True:
        inner = unwrapped(model)
        if not isinstance(inner, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            return inner
        model = inner.module


def load(run: str | Path, model: nn.Module | None = None, *, trust_code: bool = False) -> nn.Module:
    """Rebuild the pruned, fine-tuned network of a run, in evaluation mode; nothing is unpickled.

    ``model`` is a dense network of the same architecture (its weights do not matter); without it
    the network is built from what the run names. Networks of the zoo always load; a function of
    somebody's own only if you named it on this machine before, or with ``trust_code``.

    Raises UsageError if there is no such run, DamagedError if a file of it is damaged, does not fit
    the network or names code that is not trusted.
    """
    path = Path(run)
    if not (path / SPEC).is_file():
        raise UsageError(f"{path} holds no pruned network", "give the directory of a finished run")
    artifacts = Artifacts(path)
    spec, made, sparse = _read_spec(artifacts.json(SPEC), path / SPEC)
    if model is None:
        if spec is None:
            raise UsageError(
                f"the network of {path} was given as a live object",
                "pass a dense one of the same class: autoprune.load(run, model=MyNet())",
            )
        model = spec.build(trust_code=trust_code)
    model = unwrapped(model)
    return rebuild(model, made, artifacts.file(WEIGHTS), sparse)


def build_dense(run: str | Path, *, trust_code: bool = False) -> nn.Module | None:
    """Build the dense network that a run names, with fresh weights; None if it names none."""
    spec = named_spec(run)
    return None if spec is None else spec.build(trust_code=trust_code)


def named_spec(run: str | Path) -> ModelSpec | None:
    """Return how a run says that its dense network is built; None if it does not."""
    path = Path(run)
    return _read_spec(Artifacts(path).json(SPEC), path / SPEC)[0]


def rebuild(model: nn.Module, made: Cut, weights: Path, sparse: Sequence[str] = ()) -> nn.Module:
    """Cut a dense network in place and load its weights; raises DamagedError if they do not fit.

    ``sparse`` names the tensors that the file holds packed.
    """
    try:
        cut(model, made.indices, made.widths)
        for removal, size in made.removed:
            remove(model, removal, torch.zeros(size))
            number_caches(model)
        shapes = {name: value.shape for name, value in model.state_dict().items()}
        tensors = unpack(load_file(str(weights)), sparse, shapes)
        missing = model.load_state_dict(tensors, strict=False)
    except (SafetensorError, RuntimeError, AttributeError, AutopruneError) as error:
        reason = str(error.args[0] if isinstance(error, AutopruneError) else error).splitlines()
        raise DamagedError(
            f"{weights} does not fit the network: {reason[-1].strip() if reason else error}",
            _ANOTHER,
        ) from error
    held = {
        id(tensor) for name, tensor in model.state_dict(keep_vars=True).items() if name in tensors
    }
    lacking = [
        name
        for name in missing.missing_keys
        if id(model.state_dict(keep_vars=True)[name]) not in held
    ]
    if lacking or missing.unexpected_keys:
        name = (lacking or missing.unexpected_keys)[0]
        raise DamagedError(f"{weights} does not fit the network at {name!r}", _ANOTHER)
    return model.eval()


def _read_spec(data: Any, path: Path) -> tuple[ModelSpec | None, Cut, tuple[str, ...]]:
    if not isinstance(data, dict) or data.get("format") not in (FORMAT, FORMAT_OF_BRANCHES):
        raise DamagedError(f"{path} has a format this version does not know", _ANOTHER)
    indices: Any = data.get("indices")
    widths: Any = data.get("widths")
    sparse = data.get("sparse", [])
    gone: Any = data.get("removed", [])
    lists = all(isinstance(part, list) for part in (indices, widths, gone))
    if not lists or not _names(sparse):
        raise DamagedError(f"{path} is not a description of a network", _ANOTHER)
    spec = data.get("model")
    return (
        ModelSpec.from_json(spec) if spec is not None else None,
        Cut(
            dict(_index(entry, path) for entry in indices),
            dict(_width(entry, path) for entry in widths),
            tuple(_removed(entry, path) for entry in gone),
        ),
        tuple(sparse),
    )


def read_cut(data: Any, path: Path) -> Cut:
    """Return how a network was cut, from what :func:`spec_json` made; raise DamagedError."""
    return _read_spec(data, path)[1]


def _names(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)


def _index(entry: Any, path: Path) -> tuple[tuple[str, int], Tensor]:
    match entry:
        case [str(name), int(dim), list(places)] if (
            0 <= dim < MOST_DIMS
            and places
            and all(type(place) is int and 0 <= place < MOST_UNITS for place in places)
        ):
            return (name, dim), torch.tensor(places)
    raise DamagedError(f"{path} has a damaged index: {str(entry)[:60]}")


def _width(entry: Any, path: Path) -> tuple[tuple[str, str], int]:
    match entry:
        case [str(module), str(attribute), int(size)] if (
            size > 0 and attribute.isidentifier() and not attribute.startswith("_")
        ):
            return (module, attribute), size
    raise DamagedError(f"{path} has a damaged width: {str(entry)[:60]}")


def _removed(entry: Any, path: Path) -> tuple[Removal, int]:
    match entry:
        case [list(modules), list(templates), int(rank), int(dim), int(size)] if (
            modules
            and len(modules) == len(templates)
            and _names(modules)
            and all(map(_is_template, templates))
            and 0 <= dim < rank < MOST_DIMS
            and 0 < size < MOST_UNITS
        ):
            return Removal(tuple(modules), tuple(templates), rank, dim), size
    raise DamagedError(f"{path} has a damaged branch: {str(entry)[:60]}")


def _is_template(entry: Any) -> bool:
    if isinstance(entry, dict):
        return all(map(_is_template, entry.values()))
    if isinstance(entry, list):
        return all(map(_is_template, entry))
    return entry is None or isinstance(entry, str)
