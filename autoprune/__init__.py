"""Prune PyTorch networks with a reinforcement-learning agent: exactly on a budget, verified.

The whole public surface is listed in ``__all__``. Names are imported on first use, so that
``import autoprune`` and ``autoprune --help`` do not wait for torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from autoprune import errors

if TYPE_CHECKING:
    from autoprune.agents.policy import Policy as Policy
    from autoprune.commands.apply.run import apply as apply
    from autoprune.commands.compare.call import compare as compare
    from autoprune.commands.export.call import export as export
    from autoprune.commands.match.call import match as match
    from autoprune.commands.match.result import Matched as Matched
    from autoprune.commands.ticket.call import ticket as ticket
    from autoprune.commands.train.call import train as train
    from autoprune.cost.budget import Budget as Budget
    from autoprune.cost.model import CostModel as CostModel
    from autoprune.networks.pretrained import from_pretrained as from_pretrained
    from autoprune.networks.pretrained import save_pretrained as save_pretrained
    from autoprune.networks.save import load as load
    from autoprune.networks.save import save as save
    from autoprune.pipeline.callbacks import Callback as Callback
    from autoprune.pipeline.callbacks import Epoch as Epoch
    from autoprune.pipeline.callbacks import Trial as Trial
    from autoprune.pipeline.family import Family as Family
    from autoprune.pipeline.family_call import family as family
    from autoprune.pipeline.posing import Problem as Problem
    from autoprune.pipeline.posing import pose as pose
    from autoprune.pipeline.result import Result as Result
    from autoprune.pipeline.search import search as search
    from autoprune.problem.evaluation import Evaluation as Evaluation
    from autoprune.problem.granularity.kernels import semi_structured as semi_structured
    from autoprune.problem.ledger import Ledger as Ledger
    from autoprune.problem.problem import PruningProblem as PruningProblem
    from autoprune.problem.prune import mask as mask
    from autoprune.problem.prune import prune as prune
    from autoprune.ranking.rank import rank as rank
    from autoprune.structure.analyze import analyze as analyze
    from autoprune.structure.analyze import verify as verify
    from autoprune.structure.plan import Plan as Plan
    from autoprune.structure.table import Structure as Structure
    from autoprune.training.surgery import prune_optimizer as prune_optimizer

__all__ = [
    "Budget",
    "Callback",
    "CostModel",
    "Epoch",
    "Evaluation",
    "Family",
    "Ledger",
    "Matched",
    "Plan",
    "Policy",
    "Problem",
    "PruningProblem",
    "Result",
    "Structure",
    "Trial",
    "analyze",
    "apply",
    "compare",
    "errors",
    "export",
    "family",
    "from_pretrained",
    "load",
    "mask",
    "match",
    "pose",
    "prune",
    "prune_optimizer",
    "rank",
    "save",
    "save_pretrained",
    "search",
    "semi_structured",
    "ticket",
    "train",
    "verify",
]

_HOME = {
    "Budget": "autoprune.cost.budget",
    "Callback": "autoprune.pipeline.callbacks",
    "CostModel": "autoprune.cost.model",
    "Epoch": "autoprune.pipeline.callbacks",
    "Evaluation": "autoprune.problem.evaluation",
    "Family": "autoprune.pipeline.family",
    "Ledger": "autoprune.problem.ledger",
    "Matched": "autoprune.commands.match.result",
    "Plan": "autoprune.structure.plan",
    "Policy": "autoprune.agents.policy",
    "Problem": "autoprune.pipeline.posing",
    "PruningProblem": "autoprune.problem.problem",
    "Result": "autoprune.pipeline.result",
    "Structure": "autoprune.structure.table",
    "Trial": "autoprune.pipeline.callbacks",
    "analyze": "autoprune.structure.analyze",
    "apply": "autoprune.commands.apply.run",
    "compare": "autoprune.commands.compare.call",
    "export": "autoprune.commands.export.call",
    "family": "autoprune.pipeline.family_call",
    "from_pretrained": "autoprune.networks.pretrained",
    "load": "autoprune.networks.save",
    "mask": "autoprune.problem.prune",
    "match": "autoprune.commands.match.call",
    "pose": "autoprune.pipeline.posing",
    "prune": "autoprune.problem.prune",
    "prune_optimizer": "autoprune.training.surgery",
    "rank": "autoprune.ranking.rank",
    "save": "autoprune.networks.save",
    "save_pretrained": "autoprune.networks.pretrained",
    "search": "autoprune.pipeline.search",
    "semi_structured": "autoprune.problem.granularity.kernels",
    "ticket": "autoprune.commands.ticket.call",
    "train": "autoprune.commands.train.call",
    "verify": "autoprune.structure.analyze",
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
