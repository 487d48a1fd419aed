"""Prune PyTorch networks with a reinforcement-learning agent: exactly on a budget, verified.

The whole public surface is listed in ``__all__``. Names are imported on first use, so that
``import autoprune`` and ``autoprune --help`` do not wait for torch.
"""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoprune import errors as errors
    from autoprune.analysis import analyze as analyze
    from autoprune.analysis import verify as verify
    from autoprune.budget import Budget as Budget
    from autoprune.plan import Plan as Plan
    from autoprune.pruning import mask as mask
    from autoprune.pruning import prune as prune
    from autoprune.result import Result as Result
    from autoprune.search import load as load
    from autoprune.search import search as search
    from autoprune.structure.table import Structure as Structure

__all__ = [
    "Budget",
    "Plan",
    "Result",
    "Structure",
    "analyze",
    "errors",
    "load",
    "mask",
    "prune",
    "search",
    "verify",
]

_HOME = {
    "Budget": "autoprune.budget",
    "Plan": "autoprune.plan",
    "Result": "autoprune.result",
    "Structure": "autoprune.structure.table",
    "analyze": "autoprune.analysis",
    "load": "autoprune.search",
    "mask": "autoprune.pruning",
    "prune": "autoprune.pruning",
    "search": "autoprune.search",
    "verify": "autoprune.analysis",
}

try:
    __version__ = version("autoprune")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"


class _Package(ModuleType):
    """Keeps ``autoprune.search`` the function when the module of the same name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "search" and isinstance(value, ModuleType):
            value = value.search
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        if name == "errors":
            return import_module("autoprune.errors")
        if name not in _HOME:
            raise AttributeError(f"module 'autoprune' has no attribute {name!r}")
        value = getattr(import_module(_HOME[name]), name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
