"""Prune PyTorch networks with a reinforcement-learning agent: exactly on a budget, verified.

The whole public surface is listed in ``__all__``. Names are imported on first use, so that
``import autoprune`` and ``autoprune --help`` do not wait for torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from autoprune import errors

if TYPE_CHECKING:
    from autoprune.analysis import analyze as analyze
    from autoprune.analysis import verify as verify
    from autoprune.applying import apply as apply
    from autoprune.budget import Budget as Budget
    from autoprune.granularity.kernels import semi_structured as semi_structured
    from autoprune.pipeline import search as search
    from autoprune.plan import Plan as Plan
    from autoprune.pruning import mask as mask
    from autoprune.pruning import prune as prune
    from autoprune.result import Result as Result
    from autoprune.saving import load as load
    from autoprune.structure.table import Structure as Structure

__all__ = [
    "Budget",
    "Plan",
    "Result",
    "Structure",
    "analyze",
    "apply",
    "errors",
    "load",
    "mask",
    "prune",
    "search",
    "semi_structured",
    "verify",
]

_HOME = {
    "Budget": "autoprune.budget",
    "Plan": "autoprune.plan",
    "Result": "autoprune.result",
    "Structure": "autoprune.structure.table",
    "analyze": "autoprune.analysis",
    "apply": "autoprune.applying",
    "load": "autoprune.saving",
    "mask": "autoprune.pruning",
    "prune": "autoprune.pruning",
    "search": "autoprune.pipeline",
    "semi_structured": "autoprune.granularity.kernels",
    "verify": "autoprune.analysis",
}

try:
    __version__ = version("autoprune")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'autoprune' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
