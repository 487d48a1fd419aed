"""The configuration of every command: schema, command line, saved JSON and hash in one dataclass.

Adding a command means adding a module here and a function in :mod:`autoprune.commands`.
"""

from autoprune.config.base import LARGEST_SEED, Config, slug
from autoprune.config.bench import BenchConfig
from autoprune.config.compare import CompareConfig
from autoprune.config.doctor import DoctorConfig
from autoprune.config.export import ExportConfig, ExportForm
from autoprune.config.inspect import InspectConfig
from autoprune.config.policy import ApplyConfig, TrainPolicyConfig
from autoprune.config.profile import ProfileConfig
from autoprune.config.prune import PruneConfig
from autoprune.config.report import ReportConfig
from autoprune.config.search import SearchConfig
from autoprune.config.train import FinetuneConfig, TrainConfig

PruningConfig = SearchConfig | PruneConfig
"""Configurations of the commands that prune a network within a budget."""

__all__ = [
    "LARGEST_SEED",
    "ApplyConfig",
    "BenchConfig",
    "CompareConfig",
    "Config",
    "DoctorConfig",
    "ExportConfig",
    "ExportForm",
    "FinetuneConfig",
    "InspectConfig",
    "ProfileConfig",
    "PruneConfig",
    "PruningConfig",
    "ReportConfig",
    "SearchConfig",
    "TrainConfig",
    "TrainPolicyConfig",
    "slug",
]
