"""What every command does: a configuration dataclass and a function, joined in ``COMMANDS``.

torch is imported by the functions only, so that help and usage errors are instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
    """What a command found: as JSON, and as something to look at."""

    data: dict[str, Any]
    view: Callable[[], RenderableType]
    exit_code: int = 0


@dataclass(frozen=True)
class Command:
    """A configuration and the function that carries it out."""

    config: type[Config]
    run: Callable[[Any, Progress], Answer]


def _search(config: SearchConfig, progress: Progress) -> Answer:
    from autoprune.pipeline.search import run_search
    from autoprune.pipeline.view import result_view

    result = run_search(config, progress)
    return Answer(result.to_json(), lambda: result_view(result))


def _apply(config: ApplyConfig, progress: Progress) -> Answer:
    from autoprune.commands.apply.run import run_apply
    from autoprune.pipeline.view import result_view

    result = run_apply(config, progress)
    return Answer(result.to_json(), lambda: result_view(result))


def _train_policy(config: TrainPolicyConfig, progress: Progress) -> Answer:
    from autoprune.commands.train_policy.run import run_train_policy
    from autoprune.commands.train_policy.view import policy_view

    result = run_train_policy(config, progress)
    return Answer(result.to_json(), lambda: policy_view(result))


def _prune(config: PruneConfig, progress: Progress) -> Answer:
    from autoprune.commands.prune.run import run_prune
    from autoprune.pipeline.view import result_view

    result = run_prune(config, progress)
    return Answer(result.to_json(), lambda: result_view(result))


def _compare(config: CompareConfig, progress: Progress) -> Answer:
    from autoprune.commands.compare.run import run_compare
    from autoprune.commands.compare.view import compare_view

    found = run_compare(config, progress)
    return Answer(found.to_json(), lambda: compare_view(found, config.directory))


def _inspect(config: InspectConfig, progress: Progress) -> Answer:
    from autoprune.commands.inspect.view import inspect_json, inspect_view
    from autoprune.data import load_data
    from autoprune.data.task import resolve_task
    from autoprune.networks.spec import resolve_model
    from autoprune.networks.weights import load_weights
    from autoprune.structure.analyze import analyze

    with progress.phase("inspect", 1) as phase:
        task = resolve_task(config.task)
        data = load_data(config.data)
        model = resolve_model(str(config.model), data)
        if config.weights is not None:
            load_weights(model, config.weights)
        facts = inspect_json(analyze(model, data.example(task)))
        phase.advance()
    facts = {"model": config.model, "data": config.data, **facts}
    return Answer(facts, lambda: inspect_view(str(config.model), facts))


def _profile(config: ProfileConfig, progress: Progress) -> Answer:
    from autoprune.commands.profile.run import run_profile
    from autoprune.commands.profile.view import profile_view

    found = run_profile(config, progress)
    facts = {"model": config.model, "data": config.data, **found.to_json()}
    return Answer(facts, lambda: profile_view(str(config.model), facts))


def _export(config: ExportConfig, progress: Progress) -> Answer:
    from autoprune.commands.export.run import run_export
    from autoprune.commands.export.view import export_view

    facts = run_export(config, progress).to_json()
    return Answer(facts, lambda: export_view(facts))


def _ticket(config: TicketConfig, progress: Progress) -> Answer:
    from autoprune.commands.ticket.run import run_ticket
    from autoprune.commands.ticket.view import tickets_view

    result = run_ticket(config, progress)
    return Answer(result, lambda: tickets_view(result))


def _report(config: ReportConfig, progress: Progress) -> Answer:
    from autoprune.commands.report.status import as_written, draw_status, read_status
    from autoprune.commands.report.view import status_view

    del progress
    status = read_status(Path(config.run))
    with as_written(status.run):
        if config.plot is not None:
            draw_status(status, Path(config.plot))
        facts = status.to_json()
        result, show = status.result, _VIEWS.get(status.command)
        view = status_view(facts) if result is None or show is None else show(result)
    return Answer(facts, lambda: view)


def _result_view(result: Mapping[str, Any]) -> RenderableType:
    from autoprune.pipeline.result import Result
    from autoprune.pipeline.view import result_view

    return result_view(Result.from_json(result))


def _policy_view(result: Mapping[str, Any]) -> RenderableType:
    from autoprune.commands.train_policy.result import PolicyResult
    from autoprune.commands.train_policy.view import policy_view

    return policy_view(PolicyResult.from_json(result))


def _tickets_view(result: Mapping[str, Any]) -> RenderableType:
    from autoprune.commands.ticket.view import tickets_view

    return tickets_view(result)


def _trained_view(result: Mapping[str, Any]) -> RenderableType:
    from autoprune.commands.train.result import Trained
    from autoprune.commands.train.view import trained_view

    return trained_view(Trained.from_json(result))


_VIEWS: Final[Mapping[str, Callable[[Mapping[str, Any]], RenderableType]]] = {
    SearchConfig.command: _result_view,
    ApplyConfig.command: _result_view,
    TrainPolicyConfig.command: _policy_view,
    PruneConfig.command: _result_view,
    TicketConfig.command: _tickets_view,
    TrainConfig.command: _trained_view,
    FinetuneConfig.command: _trained_view,
}
"""How ``report`` shows the ``result.json`` of each command that keeps a run."""


def _train(config: TrainConfig, progress: Progress) -> Answer:
    from autoprune.commands.train.run import run_train
    from autoprune.commands.train.view import trained_view

    result = run_train(config, progress)
    return Answer(result.to_json(), lambda: trained_view(result))


def _finetune(config: FinetuneConfig, progress: Progress) -> Answer:
    from autoprune.commands.train.run import run_finetune
    from autoprune.commands.train.view import trained_view

    result = run_finetune(config, progress)
    return Answer(result.to_json(), lambda: trained_view(result))


def _doctor(config: DoctorConfig, progress: Progress) -> Answer:
    from autoprune import __version__
    from autoprune.commands.doctor.run import doctor_json, run_doctor
    from autoprune.commands.doctor.view import doctor_view

    facts = doctor_json(run_doctor(progress))
    return Answer(facts, lambda: doctor_view(facts, __version__), 0 if facts["ok"] else 1)


def _bench(config: BenchConfig, progress: Progress) -> Answer:
    from autoprune.commands.bench.run import run_bench
    from autoprune.commands.bench.view import bench_markdown, bench_view, draw_bench
    from autoprune.foundation.files import pretty, replace_text, writing

    facts = run_bench(config, progress).to_json()
    with writing(config.path):
        config.path.mkdir(parents=True, exist_ok=True)
        replace_text(config.path / "bench.json", pretty(facts))
        replace_text(config.path / "bench.md", bench_markdown(facts))
        draw_bench(facts, config.path / "bench.svg")
    return Answer(facts, lambda: bench_view(facts))


COMMANDS: Final = (
    Command(SearchConfig, _search),
    Command(ApplyConfig, _apply),
    Command(PruneConfig, _prune),
    Command(CompareConfig, _compare),
    Command(TrainConfig, _train),
    Command(TrainPolicyConfig, _train_policy),
    Command(FinetuneConfig, _finetune),
    Command(TicketConfig, _ticket),
    Command(InspectConfig, _inspect),
    Command(ProfileConfig, _profile),
    Command(BenchConfig, _bench),
    Command(ExportConfig, _export),
    Command(ReportConfig, _report),
    Command(DoctorConfig, _doctor),
)
