"""Networks of timm, torchvision and ultralytics, by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from torch import nn

from autoprune.errors import UsageError
from autoprune.foundation.libraries import needed
from autoprune.foundation.user_code import blamed
from autoprune.networks import hugging_face
from autoprune.networks.constructor import is_plain

LIBRARIES: Final = {
    "timm": {"classes": "num_classes", "channels": "in_chans"},
    "torchvision": {"classes": "num_classes"},
    "ultralytics": {"classes": "nc", "channels": "ch"},
    hugging_face.NAME: {},
}
"""Names of libraries, and what their constructors call classes and channels."""

_MODULES: Final = {"ultralytics": "ultralytics.nn.tasks"}
"""Modules that build the networks, where the library itself does not."""

FETCHING: Final = (
    *("pretrained", "checkpoint", "weights", "cache", "url", "file", "path", "dir", "hub", "hf_"),
)
"""Parts of the names of options that make a library read files or fetch them."""


def library_options(library: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a library that set classes and channels."""
    return {option: shape[key] for key, option in LIBRARIES[library].items() if key in shape}


def build_from_library(library: str, name: str, options: Mapping[str, Any]) -> nn.Module:
    """Build a network of a library with fresh weights, or its own of a directory on disk.

    Nothing is downloaded.
    Raises UsageError if there is no such network or option, for options that would load files, or
    if the library is missing or does not work.
    """
    if library == hugging_face.NAME:
        return hugging_face.load_pretrained(name, options)
    if not re.fullmatch(r"[A-Za-z0-9_.]+", name):  # timm would fetch hub paths
        raise UsageError(f"{library} has no network {name!r}")
    for option, value in options.items():
        if any(word in option.lower() for word in FETCHING) or not is_plain(value):
            raise UsageError(
                f"{library}:{name} is not given {option!r}: it may load files",
                "weights come with --weights FILE",
            )
    make = {"timm": _timm, "torchvision": _torchvision, "ultralytics": _ultralytics}[library]
    with needed(library, "ultralytics" if library == "ultralytics" else "'autoprune[vision]'"):
        module = import_module(_MODULES.get(library, library))
    with blamed(f"{library} cannot build {name!r}"):
        return as_module(name, make(module, name, dict(options)))


def _timm(timm: Any, name: str, options: dict[str, Any]) -> object:
    return timm.create_model(name, **options)


def _torchvision(torchvision: Any, name: str, options: dict[str, Any]) -> object:
    models = torchvision.models
    given = {**options, "weights": None}
    if "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        given["weights_backbone"] = None  # by default it is downloaded
    return models.get_model(name, **given)


def _ultralytics(tasks: Any, name: str, options: dict[str, Any]) -> object:
    """Build the inner module of a detector: what surrounds it loads and fetches files."""
    return tasks.DetectionModel(f"{name}.yaml", verbose=False, **options)


def as_module(name: str, made: object) -> nn.Module:
    """Return what the function ``name`` made; raise UsageError if it is no network."""
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"{name} returns {type(made).__name__}, not an nn.Module", "return the built network"
        )
    return made
