"""``--model`` and ``--weights``: from a name to a network, and back from a stored run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autoprune import trust, zoo
from autoprune.artefacts import MANIFEST, Artefacts
from autoprune.data import Data
from autoprune.errors import DamagedError, UsageError
from autoprune.factories import Factory, accepted, blamed, is_factory, load, refuse_malformed

INITIAL, BASE, WEIGHTS = "initial.safetensors", "base.safetensors", "model.safetensors"
"""Weights in a run: before training, of the dense network after it, of the network that results."""

LIBRARIES = ("timm", "torchvision")

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which checkpoints keep the weights."""


@dataclass(frozen=True)
class ModelSpec:
    """How to build a network again: a name and options, JSON-able, no pickle.

    ``factory`` is a zoo name, ``timm:NAME``, ``torchvision:NAME``, or a function of the user's with
    its source file ``path`` (absolute) and the ``sha256`` of that.
    """

    factory: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    sha256: str = ""

    def build(self, *, trust_code: bool = False) -> nn.Module:
        """Build the network with fresh weights.

        A function of the user's is imported only with ``trust_code``, or if the user named it on
        this machine before and its file is unchanged (:mod:`autoprune.trust`); then it is allowed.
        Raises DamagedError if it is not to be trusted, UsageError if it fails.
        """
        library, _, name = self.factory.partition(":")
        if not name:
            with blamed(f"{self.factory} cannot be built"):
                return zoo.build(self.factory, **self.kwargs)
        if library in LIBRARIES:
            return _build_from_library(library, name, self.kwargs)
        if not trust_code:
            self.require_trust()
        function, factory = load(self.factory)
        trust.allow(factory)
        with blamed(f"{self.factory} fails"):
            return _module(self.factory, function(**self.kwargs))

    def require_trust(self) -> None:
        """Raise DamagedError if building would run code that was never named here."""
        library, _, name = self.factory.partition(":")
        if name and library not in LIBRARIES:
            trust.check(Factory(self.factory, self.path, self.sha256))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return asdict(self) | {"kwargs": dict(self.kwargs)}

    @classmethod
    def from_json(cls, data: object) -> ModelSpec:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        kinds = {"factory": str, "kwargs": dict, "path": str, "sha256": str}
        if (
            not isinstance(data, dict)
            or set(data) != set(kinds)
            or not all(isinstance(data[name], kind) for name, kind in kinds.items())
            or not all(isinstance(name, str) for name in data["kwargs"])
        ):
            raise DamagedError("not a model specification: expected factory, kwargs, path, sha256")
        return cls(**data)


def model_spec(name: str, data: Data | None = None, **options: Any) -> ModelSpec:
    """Return the specification of the network that the user calls ``name``.

    Classes, channels and image size come from ``data``, or from ``options``, which go first; a
    function of the user's gets those that it takes (``classes``, ``channels``, ``size``). Options
    of a network of the zoo may follow its name: ``resnet20,shortcut=B``.
    Naming a function here allows it for :meth:`ModelSpec.build`.

    Raises UsageError if there is no such network, file or function.
    """
    shape = _shape(data) | options
    library, _, rest = name.partition(":")
    if library in LIBRARIES and rest:
        return ModelSpec(name, _library_options(library, shape))
    if is_factory(name):
        function, factory = load(name)
        trust.allow(factory)
        return ModelSpec(factory.name, accepted(function, shape), factory.path, factory.sha256)
    refuse_malformed(name)
    name, chosen = _chosen(name)
    known = set(zoo.find(name).options) | set(options)
    return ModelSpec(name, {key: value for key, value in shape.items() if key in known} | chosen)


def resolve_model(spec: str | ModelSpec | nn.Module, data: Data | None = None) -> nn.Module:
    """Return the network that ``spec`` is or names, shaped for ``data``, with fresh weights."""
    if isinstance(spec, nn.Module):
        return spec
    if isinstance(spec, str):
        spec = model_spec(spec, data)
    return spec.build(trust_code=True)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load trained weights into ``model``, all of them or, on any error, none.

    ``path`` is a run (:func:`weights_file`), a safetensors file, or a checkpoint that
    ``torch.load`` reads with ``weights_only``: tensors by name, bare or under one of ``WRAPPERS``.
    DataParallel's prefix is dropped.

    Raises UsageError for a missing file, DamagedError for one that cannot be read, holds other
    objects than tensors, does not fit the model, or holds NaN or infinity.
    """
    path = weights_file(Path(path).expanduser())
    if not path.is_file():
        what = f"{path} is a directory" if path.is_dir() else f"no such file: {path}"
        raise UsageError(what, "--weights takes a safetensors file or checkpoint")
    given = _read(path)
    if given and all(name.startswith("module.") for name in given):
        given = {name.removeprefix("module."): value for name, value in given.items()}
    state = model.state_dict(keep_vars=True)
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    _check_names(path, state, given)
    for name, value in given.items():
        if value.shape != state[name].shape:
            raise DamagedError(
                f"{path}: {name} has shape {list(value.shape)}, the model's has"
                f" {list(state[name].shape)}",
                "the weights belong to another network, or to another number of classes",
            )
        bad = value.isnan() if name in buffers else ~value.isfinite()  # masks may be infinite
        if bool(bad.any()):
            raise DamagedError(f"{path}: {name} holds NaN or infinity", "save sound weights")
    model.load_state_dict(given, strict=False)


def weights_file(path: Path) -> Path:
    """Return the trained weights of the dense network of a run; other paths as they are.

    Raises UsageError for a run that has none yet, DamagedError if they are not what was written.
    """
    if not (path / MANIFEST).is_file():
        return path
    artefacts = Artefacts(path)
    for name in (BASE, WEIGHTS):
        if name in artefacts.names:
            return artefacts.file(name)
    raise UsageError(
        f"{path} holds no trained weights", "finish it: run the command that began it again"
    )


def initial_file(path: str | Path) -> Path | None:
    """Return the weights that the training in a run began with; None if there is no such file."""
    run = Path(path).expanduser()
    if not (run / MANIFEST).is_file():
        return None
    artefacts = Artefacts(run)
    return artefacts.file(INITIAL) if INITIAL in artefacts.names else None


def _shape(data: Data | None) -> dict[str, int]:
    """Return what ``data`` asks of a network."""
    shape = {}
    if data and data.classes:
        shape["classes"] = data.classes
    if data and data.image_shape:
        shape["channels"] = data.image_shape[0]
        if data.image_shape[1] == data.image_shape[2]:
            shape["size"] = data.image_shape[1]
    return shape


def _chosen(name: str) -> tuple[str, dict[str, Any]]:
    """Part ``resnet20,shortcut=B`` into the name and the options after it."""
    name, *pairs = name.split(",")
    chosen: dict[str, Any] = {}
    for pair in pairs:
        option, equals, value = pair.partition("=")
        if not (option and equals and value):
            raise UsageError(f"{pair!r} is no option", f"write it as in {name},shortcut=B")
        if option not in zoo.find(name).options:
            known = ", ".join(zoo.find(name).options)
            raise UsageError(f"{name} has no option {option!r}", f"it has {known}")
        chosen[option] = int(value) if value.isdecimal() else value
    return name, chosen


def _library_options(library: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    names = {"classes": "num_classes"} | ({"channels": "in_chans"} if library == "timm" else {})
    return {option: shape[key] for key, option in names.items() if key in shape}


def _build_from_library(library: str, name: str, options: Mapping[str, Any]) -> nn.Module:
    if not re.fullmatch(r"[A-Za-z0-9_.]+", name):  # timm would fetch hub paths
        raise UsageError(f"{library} has no network {name!r}")
    if not set(options) <= {"num_classes", "in_chans"}:  # others make timm load files
        raise UsageError(f"{library}:{name} takes no other option than classes and channels")
    module = _library(library)
    make = module.create_model if library == "timm" else module.models.get_model
    with blamed(f"{library} cannot build {name!r}"):
        return _module(name, make(name, **options))


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except (ImportError, RuntimeError, OSError) as error:
        if isinstance(error, ImportError) and error.name == name:
            raise UsageError(
                f"{name} is not installed", "pip install 'autoprune[vision]'"
            ) from None
        raise UsageError(
            f"{name} does not work with torch {torch.__version__}:"
            f" {next(iter(str(error).splitlines()), '')}",
            "install the release made for it, from the same index: pip install 'autoprune[vision]'",
        ) from error


def _module(name: str, made: object) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"{name} returns {type(made).__name__}, not an nn.Module", "return the built network"
        )
    return made


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
        found = [
            f"{len(names)} {word}, first {names[0]}"
            for word, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise DamagedError(
            f"{path} does not fit the model: {'; '.join(found)}",
            "the weights are another network's",
        )
