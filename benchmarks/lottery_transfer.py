"""Tickets of LeNet-300-100 trained on other data: the other digits, and Fashion-MNIST.

python benchmarks/lottery_transfer.py --mnist DIR --fashion DIR [--levels 7] [--write]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from reporting import report
from tickets import options, setup, starts, ticket

HALVES = Path(__file__).with_name("halves.py")


def main() -> None:
    """Find tickets on MNIST, train them elsewhere, and report."""
    parser = options(__doc__ or "", levels=7, iterations=1200, seeds=3)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--mnist", required=True)
    parser.add_argument("--fashion", required=True)
    chosen = parser.parse_args()
    os.environ["MNIST"] = chosen.mnist
    digits = run(chosen, "digits", f"{HALVES}:low", f"{HALVES}:high")
    fashion = run(chosen, "fashion", chosen.mnist, chosen.fashion)
    shown = [
        {"data": name, **row}
        for name, result in (("digits 0-4 -> 5-9", digits), ("MNIST -> Fashion-MNIST", fashion))
        for row in starts(result, ["300"])
    ]
    report(
        "lottery_transfer",
        "Tickets of lenet-300-100 trained on other data",
        shown,
        [
            setup(
                digits,
                chosen.seeds,
                f"Level {chosen.levels} of iterative pruning by {chosen.rate:.0%}",
            ),
            f"{100 * digits['levels'][0]['remaining']:.1f} % of the weights left."
            f" Fashion-MNIST took {fashion['seconds']:.0f} s.",
            *(f"- digits: {line}" for line in digits["verdict"]),
            *(f"- Fashion-MNIST: {line}" for line in fashion["verdict"]),
        ],
        chosen.write,
    )


def run(chosen: argparse.Namespace, name: str, source: str, target: str) -> dict[str, Any]:
    """Transfer tickets from one data set to another."""
    return ticket(
        chosen,
        f"transfer-{name}",
        model="lenet-300-100",
        data=source,
        transfer_to=target,
        levels=chosen.levels,
        rate=chosen.rate,
        iterations=chosen.iterations,
        seeds=chosen.seeds,
    )


if __name__ == "__main__":
    main()
