"""What long searches cost beside their evaluations: memory, open files, journal, replay."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.search import run_search
from autoprune.problem.evaluator import Evaluator
from autoprune.runs.journal import Journal
from tests.torture.forge import ROOT


class Ends(Exception):
    """Ends a run once its search is over."""


class Watch(Silent):
    """Times the phase of the search, and looks at memory and open files while it lasts."""

    def __init__(self, every: int = 0) -> None:
        self.every, self.steps, self._name = every, 0, ""
        self.seconds = 0.0
        self.marks: list[tuple[int, int, int]] = []

    @contextmanager
    def phase(self, name, total):
        began = time.thread_time()
        self._name = name
        with super().phase(name, total):
            yield self
        if name == "search":
            self.seconds = time.thread_time() - began
            raise Ends

    def advance(self, steps=1, **facts):
        if self._name != "search":
            return
        self.steps += steps
        if self.every and self.steps % self.every == 0:
            own = os.getpid()
            self.marks.append((self.steps, _memory(own), _open_files(own)))


def search(place: Path, evaluations: int, watch: Watch) -> None:
    """Search the digits network at random, in this process, until the search is over."""
    config = SearchConfig(
        budget="0.5flops",
        agent="random",
        evaluations=evaluations,
        run=str(place),
        baseline=False,
        workers=1,
    )
    try:
        run_search(config, watch)
    except Ends:
        pass


def soak(place: Path, evaluations: int) -> dict[str, float]:
    """Evaluate many plans; return how memory and open files grew after the first fifth of them.

    Open files are the least of a quarter of the looks: the curves' own thread opens its file for a
    moment whenever it writes, which one look in forty sees.
    """
    watch = Watch(every=max(1, evaluations // 100))
    search(place, evaluations, watch)
    growth = _growth(watch.marks, evaluations)
    return {"evaluations": watch.steps, "seconds": watch.seconds, **growth}


def whole(place: Path, agent: str, evaluations: int) -> dict[str, float]:
    """Run one whole search in processes of its own; return how they grow after a fifth of it.

    Memory and open files are those of the search and its two workers together, looked at while it
    searches. Open files: the least of a quarter of the looks, as in :func:`soak`.
    """
    words = (
        f"search --budget 0.5flops --weights real.safetensors --agent {agent} --no-baseline"
        f" --evaluations {evaluations} --finetune-epochs 1 --workers 2 --run long-{agent} --fresh"
    )
    said, marks = place / f"long-{agent}.txt", []
    with said.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "autoprune", *words.split()],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=stream,
        )
        while process.poll() is None:
            time.sleep(0.2)
            phases = said.read_text()
            if "searching " in phases and "finals " not in phases:
                with suppress(OSError):
                    tree = [process.pid, *_children(process.pid)]
                    marks.append((len(marks), sum(map(_memory, tree)), sum(map(_open_files, tree))))
    assert process.returncode == 0, said.read_text()
    result = json.loads((place / f"long-{agent}" / "result.json").read_text())
    journal = (place / f"long-{agent}" / "evaluations.jsonl").read_bytes()
    return {
        "evaluations": result["evaluations"],
        "plans": journal.count(b"\n") - 1,
        "seconds": result["seconds"],
        **_growth(marks, len(marks)),
    }


def _children(process: int) -> list[int]:
    return [
        int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def _open_files(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def _growth(marks: list[tuple[int, int, int]], end: int) -> dict[str, float]:
    """Compare the first and the last quarter of the looks after a fifth of the way to ``end``."""
    marks = [mark for mark in marks if mark[0] > end // 5]
    quarter = max(1, len(marks) // 4)
    parts = marks[:quarter], marks[-quarter:]
    first, last = (sum(memory for _, memory, _ in part) / quarter for part in parts)
    before, after = (min(count for _, _, count in part) for part in parts)
    return {
        "memory growth": last / first - 1,
        "megabytes": last / 2**20,
        "open files": after - before,
    }


def _memory(process: int) -> int:
    statm = Path(f"/proc/{process}/statm").read_text().split()
    return int(statm[1]) * os.sysconf("SC_PAGE_SIZE")


def overhead(place: Path, evaluations: int) -> dict[str, float]:
    """Search, and search again from the journal; return parts of the time of the first search.

    All times are those of the thread itself, which no other process makes longer. ``journal`` was
    spent on writing it, beside its syncing, which waits for the disk and counts that by the clock;
    ``searcher`` on neither evaluations nor records nor curves; ``replay`` is what the second search
    takes beyond that.
    """
    first, spent = Watch(), {}
    with (
        _timed(Evaluator, "race", spent),
        _timed(Journal, "_write", spent),
        _timed(Curves, "evaluation", spent),
    ):
        search(place, evaluations, first)
    again = Watch()
    search(place, evaluations, again)
    own = first.seconds - sum(spent.values())
    return {
        "evaluations": first.steps,
        "seconds": first.seconds,
        "journal": spent["_write"] / first.seconds,
        "curves": spent["evaluation"] / first.seconds,
        "searcher": own / first.seconds,
        "replay": (again.seconds - own) / first.seconds,
    }


@contextmanager
def _timed(owner: type, name: str, spent: dict[str, float]):
    """Count the seconds that a method takes."""
    real = getattr(owner, name)
    spent[name] = 0.0

    def timed(self, *arguments, **options):
        began = time.thread_time()
        try:
            return real(self, *arguments, **options)
        finally:
            spent[name] += time.thread_time() - began

    with patch.object(owner, name, timed):
        yield
