"""Page of a pruning run, ``report.html``: its result in tables and pictures, for anybody.

Every number is that of ``result.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from autoprune.data.task import SplitScoredTask
from autoprune.foundation.page import (
    Cell,
    Page,
    Row,
    Section,
    Table,
    asked,
    files_section,
    network_uses,
    page_text,
)
from autoprune.foundation.statistics import wilson
from autoprune.foundation.tables import count, milliseconds, percent, reading, size
from autoprune.foundation.terminal import duration
from autoprune.pipeline.page_charts import pareto_chart, rounds_chart, search_chart
from autoprune.pipeline.page_plan import plan_section
from autoprune.pipeline.result import LatencyCheck, Measure, Result
from autoprune.pipeline.session import PruningSession
from autoprune.ranking.registry import RANKINGS
from autoprune.structure.table import Pinned


@dataclass(frozen=True)
class Facts:
    """What a page shows beside the result.

    ``samples``: those of the test split, None where the score is no mean over them; ``records``:
    the evaluations of the journal; ``pinned``: what could not be pruned; ``floors``: least units
    by group, as asked; ``data_seen``: whether the ranking predicts the loss, rather than a
    share of importance; ``asked``: options by name.
    """

    samples: int | None
    records: Sequence[Mapping[str, object]]
    pinned: Sequence[Pinned]
    floors: Mapping[str, int]
    data_seen: bool
    asked: Mapping[str, str]

    @classmethod
    def of(cls, session: PruningSession) -> Self:
        """Collect the facts of a run that ends."""
        inputs, groups = session.inputs, session.units.decisions.groups
        pooled = isinstance(inputs.task, SplitScoredTask)
        least = session.budget.floor or (1,) * len(groups)
        return cls(
            samples=None if pooled else len(inputs.test),
            records=[one for one in session.run.journal.records if "evaluation" in one],
            pinned=session.structure.pinned,
            floors={group.name: int(low) for group, low in zip(groups, least, strict=True)},
            data_seen=_predicts(session.config.ranking),
            asked=asked(session.config),
        )


def _predicts(ranking: str) -> bool:
    return ranking in RANKINGS and RANKINGS[ranking].needs_data


def result_page(result: Result, facts: Facts) -> str:
    """Return the page of a result."""
    sections = [
        _brief(result, facts),
        Section("What was asked", "asked", facts=facts.asked),
        _search(result, facts),
        plan_section(result, facts.pinned, facts.floors, data_seen=facts.data_seen),
        *_latency(result),
        *_rounds(result),
        _files(result),
    ]
    title = f"{result.network} on {result.data}, budget {result.budget}"
    return page_text(Page(title, f"autoprune, {_how(result)}", sections))


def _how(result: Result) -> str:
    rounds = len(result.rounds)
    effort = (
        f"{rounds} round{'s' * (rounds > 1)}" if rounds else f"{result.evaluations} evaluations"
    )
    return f"{result.agent} + {result.ranking}, {effort}, seed {result.seed}"


def _brief(result: Result, facts: Facts) -> Section:
    """Show what was asked, and every network that was measured."""
    end, dense = result.finetuned, result.dense
    change = 100 * (end.score - dense.score)
    brief: dict[str, Cell | str] = {
        f"{result.metric}, test split": Cell(f"{percent(end.score)} ({change:+.2f})"),
        "MACs left": percent(end.macs / dense.macs, 1) if dense.macs else "none counted",
        "parameters left": percent(end.parameters / max(dense.parameters, 1), 1),
        "file": f"{size(dense.bytes)} to {size(end.bytes)}",
        "pruned": f"{result.granularity}s" if result.granularity == "channel" else "weights",
        "took": Cell(duration(result.seconds), time=True),
    }
    intervals = (
        f"Intervals: 95 %, Wilson, of a mean over {facts.samples:,} samples."
        if facts.samples
        else f"No intervals: {result.metric} is that of a whole split, no mean over samples."
    )
    measured_on = f"On the test split, by which nothing was chosen. {intervals}"
    return Section(
        "Result",
        "result",
        facts=brief,
        tables=[_networks(result, facts.samples, measured_on)],
        warnings=[*result.warnings, *(Cell(text, time=True) for text in result.slower)],
    )


def _networks(result: Result, samples: int | None, caption: str) -> Table:
    """Return a row for every network measured."""
    others = list(result.dense.other)
    timed = result.finetuned.latency_ms is not None
    heads = ["network", result.metric, *(["95 % interval"] if samples else []), "change"]
    heads += [*others, "MACs", "parameters", "file", *(["per sample"] if timed else [])]
    rows = []
    for name, key, one, look in _states(result):
        part = {"macs": one.macs, "parameters": one.parameters, "bytes": one.bytes}
        cells: list[Cell | str] = [name, Cell(percent(one.score), key=f"{key}.score")]
        if samples:
            cells.append(" to ".join(map(percent, wilson(one.score, samples))))
        change = 100 * (one.score - result.dense.score)
        cells.append("" if one is result.dense else f"{change:+.2f}")
        cells += [reading(rate, one.other.get(rate, 0.0)) for rate in others]
        cells += [
            Cell((size if cost == "bytes" else count)(value), key=f"{key}.{cost}")
            for cost, value in part.items()
        ]
        if timed:
            spent = "" if one.latency_ms is None else milliseconds(one.latency_ms)
            cells.append(Cell(spent, time=True, key=f"{key}.latency_ms"))
        rows.append(Row(cells, look))
    return Table(heads, rows, caption)


def _states(result: Result) -> Iterable[tuple[str, str, Measure, str]]:
    """Yield name, key in result.json, measures and look of every network measured."""
    tuned = result.finetune_epochs != 0
    yield "dense", "base", result.dense, ""
    if result.dense_finetuned:
        yield "dense, trained as long", "dense_finetuned", result.dense_finetuned, ""
    yield "pruned", "pruned", result.pruned, "" if tuned or result.matched else "own"
    if result.matched:
        yield "matched", "matched", result.matched, "" if tuned else "own"
    if tuned:
        yield "fine-tuned", "recovered", result.finetuned, "own"
    if result.baseline:
        name = result.baseline.name
        yield f"{name}, pruned", "baseline.pruned", result.baseline.pruned, ""
        if tuned:
            yield f"{name}, fine-tuned", "baseline.recovered", result.baseline.finetuned, ""


def _search(result: Result, facts: Facts) -> Section:
    charts = [pareto_chart(result, facts.samples)]
    found = [one for one in facts.records if not one["failed"]]
    if found:
        charts.insert(0, search_chart(result, found))
    return Section("Search and cost" if found else "Score and cost", "search", charts=charts)


def _latency(result: Result) -> Iterable[Section]:
    check, heads = result.latency, ("", "dense", "pruned", "left")
    tables = []
    if check is not None:
        tables.append(_predicted(check, heads))
    if result.speeds:
        rows = [
            Row(
                [
                    f"{one.backend}, batch {one.batch}",
                    *(Cell(milliseconds(ms), time=True) for ms in (one.dense_ms, one.pruned_ms)),
                    Cell(percent(one.fraction, 1), min(one.fraction, 1.0), time=True),
                ]
            )
            for one in result.speeds
        ]
        caption = "Milliseconds per sample, medians of turns that both networks took in one run."
        tables.append(Table(heads, rows, caption))
    if tables:
        yield Section("Time", "time", tables=tables)


def _predicted(check: LatencyCheck, heads: Sequence[str]) -> Table:
    """Return what the plan was chosen by, and what the delivered network was measured at."""
    rows = [
        Row([name, *(Cell(milliseconds(ms), time=True) for ms in times), Cell(part, time=True)])
        for name, times, part in (
            (
                "predicted",
                (check.dense_predicted_ms, check.predicted_ms),
                percent(check.fractions[0], 1),
            ),
            ("measured", (check.dense_measured_ms, check.measured_ms), _between(check)),
        )
    ]
    return Table(heads, rows, f"{check.backend} on {check.device}, batches of {check.batch}.")


def _between(check: LatencyCheck) -> str:
    text = percent(check.fractions[1], 1)
    return (
        f"{text} ({' to '.join(percent(x, 1) for x in check.interval)})" if check.interval else text
    )


def _rounds(result: Result) -> Iterable[Section]:
    if len(result.rounds) > 1:
        yield Section("Rounds", "rounds", charts=[rounds_chart(result)])


def _files(result: Result) -> Section:
    run = str(result.run)
    return files_section(run, network_uses(run, result.run.parent), result.files)
