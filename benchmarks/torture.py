"""Torture: kills, crashes, full disks, damage, races, hostile files, bombs, clocks, a soak.

``make torture`` runs it at full size (an hour or two); ``--share 0.05`` at a twentieth. Victims are
real processes running the real command line on networks of three layers, so what is tested is the
keeping of runs, not training. With ``--write`` the results of each part replace those of the same
part in what is stored. Needs Linux.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autoprune.runs.journal import JournalConfig
from benchmarks.support.reporting import RESULTS, parser, report
from tests import owncode
from tests.torture import (
    bombs,
    caches,
    clocks,
    crashes,
    crew,
    damage,
    hostile,
    kills,
    races,
    soak,
    strangers,
    words,
)
from tests.torture.forge import Forge
from tests.torture.works import REAL, WORKS, Tally, furnish

Row = dict[str, Any]


def main() -> int:
    """Run what was asked for; the exit code is 1 if anything went wrong."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--share", type=float, default=1.0, help="part of the full size")
    options.add_argument("--seed", type=int, default=0, help="seed of instants, bits and words")
    options.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    new: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        place = furnish(Path(scratch) / "place")
        owncode.nan_weights(place)
        # Other hashes of strings: what depends on the order of a set shows.
        with Forge(place, hashing=1) as one, Forge(place, hashing=2) as other:
            for part in given.only:
                for row in PARTS[part](one, other, given.share, given.seed):
                    print(row, file=sys.stderr, flush=True)
                    new.append(row)
                    done = {item["test"] for item in new}
                    old = [item for item in _stored() if item["test"] not in done]
                    rows = [*(old if given.write else []), *new]
                    rows.sort(key=lambda item: str(item["test"]))
                    report("torture", "Torture of runs", rows, [EXPLANATION], given.write)
    return int(any(row["bad"] for row in new))


def _stored() -> list[Row]:
    path = RESULTS / "torture.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else []


EXPLANATION = (
    "Bad would be: an end that is not byte for byte that of the uninterrupted run (plan, weights,"
    " journal, every JSON file but for durations; of another process with other string hashes), a"
    " state that needs a human, damage that is loaded, two writers or none, code of a file that is"
    " run, a refusal that takes 1 s of the processor or 200 MB (of a bomb: 20 s and 1 GB, the"
    " libraries for tables included), an escape sequence of a stranger's on the terminal, a"
    " traceback, an exit code that is not documented."
)


def _row(test: str, tally: Tally, said: str = "", aim: str = "0 bad") -> Row:
    for example in tally.examples:
        print(f"BAD {test}: {example}", file=sys.stderr)
    return {
        "test": test,
        "done": tally.done,
        "bad": tally.bad,
        "measured": said,
        "aim": aim,
        "date": date.today().isoformat(),
    }


def _some(number: int, share: float) -> int:
    return max(1, round(number * share))


def _kills(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    for name in WORKS:
        whole, seconds = kills.reference(one, name)
        tally = kills.kill(other, whole, seconds, name, _some(24, share), seed)
        yield _row(f"SIGKILL at random instants: {name}", tally)


def _signals(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    for name in WORKS:
        whole, seconds = kills.reference(one, name)
        tally, waits = kills.interrupt(other, whole, seconds, name, _some(8, share), seed)
        longest = f"longest {max(waits, default=0):.2f} s until exit 130"
        yield _row(f"SIGTERM or SIGINT at random instants: {name}", tally, longest, "< 2 s")


def _crashes(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    for name in (
        "search, evolution",
        "fine-tuning",
        "tickets",
        "prune schedule",
        "train-policy",
        "compare",
    ):
        whole, _ = kills.reference(one, name)
        killed, cut = crashes.crash_everywhere(other, whole, name, every=round(1 / share))
        yield _row(f"every write, sync and rename, killed there: {name}", killed)
        yield _row(f"the same, power cut there: {name}", cut)


def _disks(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    for name in ("search, evolution", "fine-tuning"):
        whole, _ = kills.reference(one, name)
        tally = crashes.sizes(other, whole, name, _some(20, share))
        yield _row(f"disk full, RLIMIT_FSIZE sweep: {name}", tally)
        tally = crashes.fill_everywhere(other, whole, name, every=round(3 / share))
        yield _row(f"disk full at every third step: {name}", tally)


def _damage(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    for name in ("search, ddpg", "training", "fine-tuning", "tickets", "train-policy", "compare"):
        whole, _ = kills.reference(one, name)
        flips, cuts = _some(35, share), _some(7, share)
        tally = damage.damage(other, whole, name, flips, cuts, seed)
        yield _row(f"flipped bits and truncations, 5 to 1: {name}", tally)


def _races(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    tally, longest, busiest = races.race(one, other, "search, ddpg", _some(100, share))
    said = f"refused after {busiest:.2f} s of the processor, {longest:.2f} s by the clock at most"
    yield _row("two starts in one directory, half of them through a link", tally, said, "< 1 s")


def _hostile(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    tally, most = hostile.attack(one, every=round(1 / share))
    said = (
        f"{most['executions']:.0f} executions, {most['seconds']:.2f} s of the processor,"
        f" {most['megabytes']:.0f} MB at most"
    )
    yield _row("hostile files", tally, said, "0 executions, < 1 s, < 200 MB")


def _words(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    yield _row("random command lines", words.speak(one, _some(700, share), seed))
    yield _row("random stored configurations", words.mutate(one, _some(300, share), seed))


def _workers(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    tally = crew.kill_workers(one.place, _some(12, share), seed)
    yield _row("SIGKILL of a worker process in a search", tally)
    tally, waits = crew.press_keys(one.place, _some(8, share), seed)
    longest = f"longest {max(waits, default=0):.2f} s until exit 130"
    yield _row("Ctrl-C in a terminal, with workers", tally, longest, "< 2 s")


def _caches(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    tally = caches.share_one(one.place, together=8)
    yield _row("eight searches at once on one cache", tally)
    tally = caches.spoil(one, _some(12, share), seed)
    yield _row("unwritable and damaged caches", tally)


def _soak(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    found = soak.soak(one.place / "soak", _some(10_000, share))
    grown, files = found["memory growth"], found["open files"]
    said = f"memory {100 * grown:+.1f} % of {found['megabytes']:.0f} MB, open files {files:+d}"
    bad = int(grown >= 0.05 or files > 0)
    yield _row("evaluations in a row", Tally(found["evaluations"], bad), said, "< 5 %, +0")
    cost = soak.overhead(one.place / "overhead", 400)  # shares of less are shares of nothing
    syncing = JournalConfig().sync_share
    bad = int(cost["journal"] + syncing >= 0.01 or cost["replay"] >= 0.05)
    said = (
        f"journal {100 * cost['journal']:.2f} % and at most {100 * syncing:.1f} % of syncing,"
        f" replay {max(0.0, 100 * cost['replay']):.1f} % beyond the searcher's own"
        f" {100 * cost['searcher']:.1f} %; search {cost['seconds']:.1f} s of the processor"
    )
    yield _row(
        "evaluations journaled and replayed", Tally(cost["evaluations"], bad), said, "< 1 %, < 5 %"
    )


def _real(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    for name in REAL:
        whole, seconds = kills.reference(one, name)
        tally = kills.kill(other, whole, seconds, name, _some(24, share), seed)
        yield _row(f"SIGKILL at random instants: {name}", tally)
        tally = crashes.sizes(other, whole, name, _some(12, share))
        yield _row(f"disk full, RLIMIT_FSIZE sweep: {name}", tally)
    tally = crashes.fill_everywhere(other, whole, name, every=round(6 / share))
    yield _row(f"disk full at every sixth step: {name}", tally)


def _bombs(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    tally, most = bombs.explode(one, every=round(1 / share))
    said = f"{most['seconds']:.2f} s of the processor, {most['megabytes']:.0f} MB at most"
    room = f"< {bombs.LONGEST:.0f} s, < {bombs.LARGEST:.0f} MB"
    yield _row("decompression bombs as data, with 3 GB to take", tally, said, room)


def _strangers(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    tally, most = strangers.offer_all(one, round(1 / share), seed)
    said = (
        f"{most['executions']:.0f} executions, {most['seconds']:.2f} s of the processor,"
        f" {most['megabytes']:.0f} MB at most"
    )
    yield _row("tickets and policies of strangers", tally, said, "0 executions, < 200 MB")


def _clocks(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    for name in ("search, evolution", "fine-tuning", "tickets", "train-policy", "compare"):
        whole, seconds = kills.reference(one, name)
        tally = clocks.set_back(other, whole, seconds, name, _some(12, share), seed)
        yield _row(f"a clock that is wrong and runs backwards: {name}", tally)


def _long(one: Forge, other: Forge, share: float, seed: int) -> Iterator[Row]:
    for agent in ("ddpg", "random"):
        found = soak.whole(one.place, agent, _some(1500, share))
        grown, files = found["memory growth"], found["open files"]
        said = (
            f"memory {100 * grown:+.1f} % of {found['megabytes']:.0f} MB in three processes,"
            f" open files {files:+d}, {found['plans']} different plans, {found['seconds']:.0f} s"
        )
        tally = Tally(found["evaluations"], int(grown >= 0.05 or files > 0))
        yield _row(f"evaluations in one search, {agent}", tally, said, "< 5 %, +0")


PARTS: dict[str, Callable[[Forge, Forge, float, int], Iterator[Row]]] = {
    "soak": _soak,
    "long": _long,
    "bombs": _bombs,
    "strangers": _strangers,
    "clocks": _clocks,
    "real": _real,
    "hostile": _hostile,
    "words": _words,
    "races": _races,
    "workers": _workers,
    "caches": _caches,
    "kills": _kills,
    "signals": _signals,
    "damage": _damage,
    "crashes": _crashes,
    "disks": _disks,
}

if __name__ == "__main__":
    sys.exit(main())
