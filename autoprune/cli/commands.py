"""Table of the commands: the configuration of each, the function that runs it, and its view.

To add a command, write a folder ``commands/NAME`` with a configuration, ``run_NAME`` and a view,
and add one row here. Functions are named as ``module:function`` and imported only when a command
runs, because help and usage errors must appear at once and torch takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import autoprune
from autoprune.commands.apply.config import ApplyConfig
from autoprune.commands.bench.config import BenchConfig
from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.doctor.config import DoctorConfig
from autoprune.commands.export.config import ExportConfig
from autoprune.commands.inspect.config import InspectConfig
from autoprune.commands.list.config import ListConfig
from autoprune.commands.match.config import MatchConfig
from autoprune.commands.profile.config import ProfileConfig
from autoprune.commands.prune.config import PruneConfig
from autoprune.commands.report.config import ReportConfig
from autoprune.commands.suite.config import SuiteConfig
from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.commands.train_policy.config import TrainPolicyConfig
from autoprune.foundation.config import Config
from autoprune.foundation.lazy import load_reference
from autoprune.foundation.progress import Progress
from autoprune.pipeline.config import SearchConfig

if TYPE_CHECKING:
    from rich.console import RenderableType


class Lazy:
    """Function ``module:function`` of the package, imported at the first call.

    A method of a class is ``module:Class.method``; ``options`` are passed with every call.
    """

    def __init__(self, path: str, **options: Any) -> None:
        self.path, self.options = path, options

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        function: Callable[..., Any] = load_reference(f"autoprune.{self.path}")
        return function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self.load()(*arguments, **self.options)


@dataclass(frozen=True)
class Answer:
    """Outcome of a command: its result as JSON, a view of it, and the exit code."""

    data: Mapping[str, Any]
    view: Callable[[], RenderableType]
    exit_code: int = 0


@dataclass(frozen=True)
class Command:
    """Row of the table.

    - ``run(config, progress)`` returns the result: a JSON-able dict, or an object with ``to_json``.
    - ``view(result)`` returns the result as rich prints it. Attributes of the configuration that
      ``view_also`` names are passed to it besides.
    - ``read(data)`` returns the result that a run's ``result.json`` holds, for ``report``; None for
      commands whose results ``report`` cannot show.
    - ``passed(data)`` decides between exit codes 0 and 1; None: a command that ends has passed.
    """

    config: type[Config]
    run: Callable[[Any, Progress], Any]
    view: Callable[..., RenderableType]
    read: Callable[[Mapping[str, Any]], Any] | None = None
    view_also: tuple[str, ...] = ()
    passed: Callable[[Mapping[str, Any]], bool] | None = None

    def __call__(self, config: Config, progress: Progress) -> Answer:
        """Run the command."""
        result = self.run(config, progress)
        data = result if isinstance(result, dict) else result.to_json()
        besides = [getattr(config, name) for name in self.view_also]
        passed = self.passed is None or self.passed(data)
        return Answer(data, partial(self.view, result, *besides), 0 if passed else 1)


def stored_views(commands: Iterable[Command]) -> dict[str, Callable[..., RenderableType]]:
    """Return the views of ``result.json``, by name of the command that wrote it."""

    def of(
        read: Callable[..., Any], view: Callable[..., RenderableType]
    ) -> Callable[..., RenderableType]:
        return lambda data: view(read(data))

    return {row.config.command: of(row.read, row.view) for row in commands if row.read is not None}


_pruned_view = Lazy("pipeline.family_view:pruned_view")
_read_pruned = Lazy("pipeline.family:read_pruned")
_trained_view = Lazy("commands.train.view:trained_view")
_read_trained = Lazy("commands.train.result:Trained.from_json")

RUNS: Final = (
    Command(SearchConfig, Lazy("pipeline.search:run_search"), _pruned_view, _read_pruned),
    Command(ApplyConfig, Lazy("commands.apply.run:run_apply"), _pruned_view, _read_pruned),
    Command(PruneConfig, Lazy("commands.prune.run:run_prune"), _pruned_view, _read_pruned),
    Command(
        CompareConfig,
        Lazy("commands.compare.run:run_compare"),
        Lazy("commands.compare.view:compare_view"),
        view_also=("directory",),
    ),
    Command(
        SuiteConfig,
        Lazy("commands.suite.run:run_suite"),
        Lazy("commands.suite.view:suite_view"),
        view_also=("directory",),
        passed=itemgetter("ok"),
    ),
    Command(TrainConfig, Lazy("commands.train.run:run_train"), _trained_view, _read_trained),
    Command(
        TrainPolicyConfig,
        Lazy("commands.train_policy.run:run_train_policy"),
        Lazy("commands.train_policy.view:policy_view"),
        Lazy("commands.train_policy.result:PolicyResult.from_json"),
    ),
    Command(FinetuneConfig, Lazy("commands.train.run:run_finetune"), _trained_view, _read_trained),
    Command(
        MatchConfig,
        Lazy("commands.match.run:run_match"),
        Lazy("commands.match.view:match_view"),
        Lazy("commands.match.result:Matched.from_json"),
    ),
    Command(
        TicketConfig,
        Lazy("commands.ticket.run:run_ticket"),
        Lazy("commands.ticket.view:ticket_view"),
        dict,
    ),
)
"""Commands that keep a run directory."""

COMMANDS: Final = (
    *RUNS,
    Command(
        InspectConfig,
        Lazy("commands.inspect.run:run_inspect"),
        Lazy("commands.inspect.view:inspect_view"),
    ),
    Command(
        ProfileConfig,
        Lazy("commands.profile.run:run_profile"),
        Lazy("commands.profile.view:profile_view"),
    ),
    Command(
        BenchConfig,
        Lazy("commands.bench.run:run_bench"),
        Lazy("commands.bench.view:bench_view"),
    ),
    Command(
        ExportConfig,
        Lazy("commands.export.run:run_export"),
        Lazy("commands.export.view:export_view"),
    ),
    Command(
        ReportConfig,
        Lazy("commands.report.run:run_report", views=stored_views(RUNS)),
        Lazy("commands.report.view:report_view"),
    ),
    Command(
        ListConfig,
        Lazy("commands.list.run:run_list"),
        Lazy("commands.list.view:list_view"),
    ),
    Command(
        DoctorConfig,
        Lazy("commands.doctor.run:run_doctor"),
        Lazy("commands.doctor.view:doctor_view", version=autoprune.__version__),
        passed=itemgetter("ok"),
    ),
)
"""All commands, in the order of ``autoprune --help``."""
