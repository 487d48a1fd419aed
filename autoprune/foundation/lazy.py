"""Lazy imports of our own functions and classes, written as ``module:name`` in a registry."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load_reference(reference: str) -> Any:
    """Import what ``module:name`` names; only for names that stand in the source."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
