"""Trials of a search: its evaluations as records, or as a table of pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoprune.errors import UsageError
from autoprune.runs.journal import read_journal
from autoprune.runs.run import JOURNAL

Records = list[dict[str, Any]]


def records_of(run: Path) -> Records:
    """Return a record per evaluation, in order; see ``Result.trials``.

    Raises UsageError if the run is no longer there, DamagedError if its journal is damaged.
    """
    path = run / JOURNAL
    if not path.is_file():
        raise UsageError(f"{path} is not there", "the trials of a search are in its own run only")
    return [
        {
            "number": record["evaluation"],
            **{key: record[key] for key in ("score", "loss", "failed")},
            **{f"units_{name}": count for name, count in record["plan"].items()},
        }
        for record in read_journal(path)
        if "evaluation" in record
    ]


def table_of_trials(run: Path) -> Any:
    """Return the records as a ``pandas.DataFrame`` if pandas is there, else as they are."""
    records = records_of(run)
    try:
        from pandas import DataFrame
    except ImportError:
        return records
    return DataFrame(records)
