"""Networks of timm and torchvision, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import nn

from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed

LIBRARIES = ("timm", "torchvision")


def library_options(library: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a library that set classes and channels."""
    names = {"classes": "num_classes"} | ({"channels": "in_chans"} if library == "timm" else {})
    return {option: shape[key] for key, option in names.items() if key in shape}


def build_from_library(library: str, name: str, options: Mapping[str, Any]) -> nn.Module:
    """Build a network of timm or torchvision with fresh weights; nothing is downloaded.

    Raises UsageError if there is no such network, or the library is missing or does not work.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.]+", name):  # timm would fetch hub paths
        raise UsageError(f"{library} has no network {name!r}")
    if not set(options) <= {"num_classes", "in_chans"}:  # others make timm load files
        raise UsageError(f"{library}:{name} takes no other option than classes and channels")
    module = _library(library)
    make = module.create_model if library == "timm" else module.models.get_model
    with blamed(f"{library} cannot build {name!r}"):
        return as_module(name, make(name, **options))


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


def as_module(name: str, made: object) -> nn.Module:
    """Return what the function ``name`` made; raise UsageError if it is no network."""
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"{name} returns {type(made).__name__}, not an nn.Module", "return the built network"
        )
    return made
