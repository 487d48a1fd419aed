"""Continued use: a ticket found in the first week, trained on the data of every later one.

python benchmarks/lottery_weeks.py --data DIR [--weeks 5] [--write]
"""

from __future__ import annotations

from pathlib import Path

from support.reporting import report
from support.tickets import options, rows, setup, ticket

KINDS = ("ticket", "dense", "reinit", "shuffled")


def main() -> None:
    """Find a ticket in the first week, train it in the others, and report what it cost."""
    parser = options(__doc__ or "", weeks=5, levels=5, iterations=600, seeds=3)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--data", required=True, help="directory with MNIST")
    chosen = parser.parse_args()
    name = Path(chosen.data).name
    result = ticket(
        chosen,
        f"weeks-{name}",
        model="lenet-300-100",
        data=chosen.data,
        weeks=chosen.weeks,
        levels=chosen.levels,
        rate=chosen.rate,
        iterations=chosen.iterations,
        seeds=chosen.seeds,
    )
    macs = result["training_macs"]
    report(
        f"lottery_weeks_{name}",
        f"A ticket of lenet-300-100 found in the first of {chosen.weeks} weeks of {name}",
        rows(result, KINDS, ["300"]),
        [
            setup(
                result, chosen.seeds, f"{chosen.levels} levels, {chosen.rate:.0%} pruned at each"
            ),
            f"Multiply-adds of all weeks: {macs['ticket_total']:.3g} with the ticket (finding it:"
            f" {macs['finding']:.3g}), {macs['dense_total']:.3g} dense; the ticket has cost less"
            f" after {macs['pays_after_weeks']} weeks, if multiplying by zero is free.",
            "",
            *result["verdict"],
        ],
        chosen.write,
    )


if __name__ == "__main__":
    main()
