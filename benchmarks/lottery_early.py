"""Masks of LeNet-300-100 by when they are drawn: early, by rules, at initialization.

python benchmarks/lottery_early.py --data DIR [--rounds 7] [--write]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from support.reporting import report
from support.tickets import options, rows, setup, ticket


def main() -> None:
    """Train the tickets of all masks and report."""
    parser = options(__doc__ or "", rounds=7, iterations=1200, seeds=3)
    parser.add_argument("--data", required=True)
    parser.add_argument(
        "--masks",
        default="100it,300it,1000it,early-bird,early-overlap,magnitude,snip,grasp,synflow",
    )
    chosen = parser.parse_args()
    name = Path(chosen.data).name
    result = ticket(
        chosen,
        f"early-{name}",
        model="lenet-300-100",
        data=chosen.data,
        early=chosen.masks,
        levels=chosen.rounds,
        iterations=chosen.iterations,
        seeds=chosen.seeds,
    )
    shown = rows(result, ("ticket", "reinit", "shuffled"), ["300"])
    report(
        f"lottery_early_{name}",
        f"Masks of lenet-300-100 on {name} by when they are drawn",
        [{**row, **facts(result["masks"][row["mask"]])} for row in shown],
        [
            setup(result, chosen.seeds, f"{chosen.rounds} rounds of 20 % (output 10 %) at once"),
            f"Dense: {100 * dense(result):.2f} %. Overlap: part of the weights kept that the mask"
            " of the end keeps too; chance would be the part left. Iteration 0: before training.",
            "",
            *result["verdict"],
        ],
        chosen.write,
    )


def facts(seeds: list[Mapping[str, Any]]) -> dict[str, str]:
    """Show when masks were drawn and how much of the last one they hold."""
    when = [str(seed["drawn_at"]) for seed in seeds]
    overlap = fmean(seed["overlap"] for seed in seeds)
    distance = fmean(seed["distance"] for seed in seeds)
    return {
        "drawn at": "/".join(dict.fromkeys(when)).replace("None", "never"),
        "overlap with end": f"{overlap:.2f}",
        "distance to end": f"{distance:.3f}",
    }


def dense(result: Mapping[str, Any]) -> float:
    """Return the mean accuracy of the dense network."""
    return float(result["levels"][0]["means"]["dense"]["accuracy"]["mean"])


if __name__ == "__main__":
    main()
