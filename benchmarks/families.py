"""Networks of public libraries, pruned to one half of every group, beside torch-pruning.

python benchmarks/families.py [--library NAME] [--only GLOB] [--ours] [--export] [--write]

Small configurations with random weights (``tests/real``). Each network is measured in a process of
its own: one that crashes or does not end is a row. ``--library`` and ``--only`` measure some again
and take the other rows from the stored table; ``--ours`` takes torch-pruning's figures from there.
``--export`` only exports what is left, in the forms in which the whole network exports.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from support.reporting import RESULTS, parser, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.real import catalog, isolated
from tests.real.network import Network

NAME = "families"
TOLERANCE = 2e-3
"""Largest difference from the masked network, relative to the largest output."""


def main() -> None:
    """Measure the networks and print the table."""
    options = parser("Networks of public libraries, ours beside torch-pruning")
    options.add_argument("--library", choices=catalog.LIBRARIES, help="only networks of a library")
    options.add_argument("--only", default="*", help="only networks whose name fits")
    options.add_argument("--ours", action="store_true", help="keep torch-pruning's stored figures")
    options.add_argument("--export", action="store_true", help="only export what is left")
    options.add_argument("--limit", type=float, default=100, help="seconds for a network and tool")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore")
    stored = _stored()
    rows = {name: row for name, row in stored.items() if _known(name)}
    for library in [given.library] if given.library else catalog.LIBRARIES:
        if catalog.missing(library):
            print(f"{library} is not installed", file=sys.stderr)
            continue
        for network in _networks(library).values():
            if fnmatch(network.name, f"*{given.only}*"):
                before = stored.get(network.name, {})
                if given.export:
                    row = before | {"exports": _exports(network, given.limit)}
                else:
                    theirs = _theirs(network, given.limit, before if given.ours else {})
                    row = _row(network, given.limit, theirs, before.get("exports", ""))
                rows[network.name] = row
                print(json.dumps(rows[network.name]), file=sys.stderr, flush=True)
    if rows:
        report(NAME, "Networks of public libraries at uniform 0.5", _sorted(rows), _notes(rows),
               given.write)  # fmt: skip


def _networks(library: str) -> Mapping[str, Network]:
    with contextlib.redirect_stderr(io.StringIO()):  # libraries talk when they are imported
        return catalog.networks(library)


def _known(name: str) -> bool:
    """Whether a network of the stored table is still in the catalog, as far as that is known."""
    prefix = name.partition(":")[0]
    library = next(one for one in catalog.LIBRARIES if one.partition("_")[0] == prefix)
    return catalog.missing(library) or name in _networks(library)


def _stored() -> dict[str, dict[str, Any]]:
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return {row["network"]: row for row in rows}


def _theirs(network: Network, limit: float, before: Mapping[str, str]) -> tuple[str, str]:
    if before:
        return before["params left, torch-pruning"], before["MACs left, torch-pruning"]
    return _left(isolated.row("theirs", network, limit))


def _exports(network: Network, limit: float) -> str:
    """Say in which forms what is left exports, of those that fit the whole network."""
    row = isolated.row("export", network, 3 * limit)
    if "failed" in row:
        return f"fails: {row['failed']}".replace("|", "/")
    said = [f"{form} fails: {why}" if why else form for form, why in row["exports"].items()]
    return ", ".join(said).replace("|", "/") or "neither does the whole network"


def _row(network: Network, limit: float, theirs: tuple[str, str], exports: str) -> dict[str, Any]:
    ours = isolated.row("ours", network, limit)
    left, macs = _left(ours)
    return {
        "network": network.name,
        "params left": left,
        "params left, torch-pruning": theirs[0],
        "MACs left": macs,
        "MACs left, torch-pruning": theirs[1],
        "wrong": _wrong(ours),
        "exports": exports,
        "seconds": f"{ours['seconds']:.1f}" if "seconds" in ours else "",
        "largest pin": next(iter(ours.get("pins", ())), "").replace("|", "/")[:160],
    }


def _left(row: Mapping[str, Any]) -> tuple[str, str]:
    if "failed" in row:
        return f"fails: {row['failed']}".replace("|", "/"), ""
    return f"{100 * row['left']:.1f} %", f"{100 * row['macs_left']:.1f} %"


def _wrong(row: Mapping[str, Any]) -> str:
    modes = [mode for mode in ("eval", "train") if not row.get(mode, 0.0) <= TOLERANCE]
    return ", ".join(modes)


def _sorted(rows: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    order = list(catalog.LIBRARIES)
    first = [one.partition("_")[0] for one in order]
    return sorted(rows.values(), key=lambda row: first.index(row["network"].partition(":")[0]))


def _notes(rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Sum up the table."""
    fails = [name for name, row in rows.items() if row["params left"].startswith("fails")]
    theirs = [
        name for name, row in rows.items() if row["params left, torch-pruning"].startswith("fails")
    ]
    wrong = [name for name, row in rows.items() if row["wrong"]]
    deep = [name for name, row in rows.items() if _share(row["params left"]) <= 35.0]
    more = [
        name
        for name, row in rows.items()
        if _share(row["params left"]) > _share(row["params left, torch-pruning"]) + 0.05
    ]
    return [
        f"{len(rows)} networks, one half of every group kept, random weights with stirred norms. "
        f"Ours: {len(fails)} fail, {len(wrong)} wrong, {len(deep)} with at most 35 % of the "
        f"parameters; torch-pruning 1.6.1: {len(theirs)} fail. Its output is checked for its "
        "shape only. "
        f"Networks where more is left than by torch-pruning: {', '.join(more) or 'none'}.",
        "",
        "`wrong` names the modes in which the compact network differs from its masked twin, whose "
        "norms count kept units only. `exports` lists the forms that the whole network exports to, "
        "where that was run. "
        "`seconds` are those of one core for `analyze`.",
    ]


def _share(text: str) -> float:
    return float("inf") if text.startswith("fails") else float(text.removesuffix(" %"))


if __name__ == "__main__":
    main()
