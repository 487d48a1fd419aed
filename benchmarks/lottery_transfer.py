"""Tickets of LeNet-300-100 trained on other data: the other digits, or Fashion-MNIST.

python benchmarks/lottery_transfer.py --mnist DIR [--fashion DIR] [--levels 7] [--write]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from support.reporting import report
from support.tickets import options, setup, starts, ticket

HALVES = Path(__file__).with_name("support") / "halves.py"


def main() -> None:
    """Find tickets on MNIST, or on the digits 0 to 4, train them elsewhere, and report."""
    parser = options(__doc__ or "", levels=7, iterations=1200, seeds=3)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--mnist", required=True)
    parser.add_argument("--fashion", help="leave it out for digits 0-4 -> 5-9")
    chosen = parser.parse_args()
    os.environ["MNIST"] = chosen.mnist
    if chosen.fashion:
        name, title = "fashion", "MNIST -> Fashion-MNIST"
        result = run(chosen, name, chosen.mnist, chosen.fashion)
    else:
        name, title = "digits", "MNIST, digits 0-4 -> 5-9"
        result = run(chosen, name, f"{HALVES}:low", f"{HALVES}:high")
    report(
        f"lottery_transfer_{name}",
        f"Tickets of lenet-300-100 trained on other data: {title}",
        starts(result, ["300"]),
        [
            setup(result, chosen.seeds, f"Level {chosen.levels}, {chosen.rate:.0%} pruned at each"),
            f"{100 * result['levels'][0]['remaining']:.1f} % of the weights left.",
            "",
            *result["verdict"],
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
