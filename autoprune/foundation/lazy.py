"""Lazy imports of our own functions and classes, written as ``module:name`` in a registry."""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter
from typing import Any


def load_reference(reference: str) -> Any:
    """Import ``module:name`` or ``module:Class.method``, for names in the source only."""
    module, _, name = reference.partition(":")
    return attrgetter(name)(import_module(module))
