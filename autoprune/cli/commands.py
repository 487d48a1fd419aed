"""Table of the commands: the configuration of each, the function that runs it, and its view.

To add a command, write a folder ``commands/NAME`` with a configuration, ``run_NAME`` and a view,
and add one row here. Functions are named as ``module:function`` and imported only when a command
runs, because help and usage errors must appear at once and torch takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final

import autoprune
from autoprune.commands.apply.config import ApplyConfig
from autoprune.commands.bench.config import BenchConfig
from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.doctor.config import DoctorConfig
from autoprune.commands.export.config import ExportConfig
from autoprune.commands.inspect.config import InspectConfig
from autoprune.commands.profile.config import ProfileConfig
from autoprune.commands.prune.config import PruneConfig
from autoprune.commands.report.config import ReportConfig
from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.commands.train_policy.config import TrainPolicyConfig
from autoprune.foundation.config import Config
from autoprune.foundation.progress import Progress
from autoprune.pipeline.config import SearchConfig

if TYPE_CHECKING:
    from rich.console import RenderableType


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


def lazy(path: str, **options: Any) -> Callable[..., Any]:
    """Return a function that stands for ``module:function`` of the package, with ``options`` set.

    The module is imported at the first call. A method of a class is ``module:Class.method``.
    """

    def call(*arguments: Any) -> Any:
        module, _, name = path.partition(":")
        return attrgetter(name)(import_module(f"autoprune.{module}"))(*arguments, **options)

    return call


def stored_views(commands: tuple[Command, ...]) -> dict[str, Callable[..., RenderableType]]:
    """Return, by name of command, what shows the ``result.json`` of its runs."""

    def show(command: Command, data: Mapping[str, Any]) -> RenderableType:
        assert command.read is not None  # noqa: S101
        return command.view(command.read(data))

    return {
        command.config.command: partial(show, command)
        for command in commands
        if command.read is not None
    }


_pruned_view, _read_pruned = (
    lazy("pipeline.view:result_view"),
    lazy("pipeline.result:Result.from_json"),
)
_trained_view, _read_trained = (
    lazy("commands.train.view:trained_view"),
    lazy("commands.train.result:Trained.from_json"),
)

RUNS: Final = (
    Command(SearchConfig, lazy("pipeline.search:run_search"), _pruned_view, _read_pruned),
    Command(ApplyConfig, lazy("commands.apply.run:run_apply"), _pruned_view, _read_pruned),
    Command(PruneConfig, lazy("commands.prune.run:run_prune"), _pruned_view, _read_pruned),
    Command(
        CompareConfig,
        lazy("commands.compare.run:run_compare"),
        lazy("commands.compare.view:compare_view"),
        view_also=("directory",),
    ),
    Command(TrainConfig, lazy("commands.train.run:run_train"), _trained_view, _read_trained),
    Command(
        TrainPolicyConfig,
        lazy("commands.train_policy.run:run_train_policy"),
        lazy("commands.train_policy.view:policy_view"),
        lazy("commands.train_policy.result:PolicyResult.from_json"),
    ),
    Command(FinetuneConfig, lazy("commands.train.run:run_finetune"), _trained_view, _read_trained),
    Command(
        TicketConfig,
        lazy("commands.ticket.run:run_ticket"),
        lazy("commands.ticket.view:ticket_view"),
        dict,
    ),
)
"""Commands that keep a run directory."""

COMMANDS: Final = (
    *RUNS,
    Command(
        InspectConfig,
        lazy("commands.inspect.run:run_inspect"),
        lazy("commands.inspect.view:inspect_view"),
    ),
    Command(
        ProfileConfig,
        lazy("commands.profile.run:run_profile"),
        lazy("commands.profile.view:profile_view"),
    ),
    Command(
        BenchConfig,
        lazy("commands.bench.run:run_bench"),
        lazy("commands.bench.view:bench_view"),
    ),
    Command(
        ExportConfig,
        lazy("commands.export.run:run_export"),
        lazy("commands.export.view:export_view"),
    ),
    Command(
        ReportConfig,
        lazy("commands.report.run:run_report", views=stored_views(RUNS)),
        lazy("commands.report.view:report_view"),
    ),
    Command(
        DoctorConfig,
        lazy("commands.doctor.run:run_doctor"),
        lazy("commands.doctor.view:doctor_view", version=autoprune.__version__),
        passed=itemgetter("ok"),
    ),
)
"""All commands, in the order of ``autoprune --help``."""
