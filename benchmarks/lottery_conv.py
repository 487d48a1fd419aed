"""Lottery tickets of convolutional networks of half the width: Conv-2, and ResNet-20 rewound.

python benchmarks/lottery_conv.py --data DIR [--write]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from support.reporting import report
from support.tickets import options, rows, setup, ticket

THIN = Path(__file__).with_name("support") / "thin.py"
KINDS = ("ticket", "dense", "reinit", "shuffled")


def main() -> None:
    """Find tickets level by level, and rewind a residual network to two iterations."""
    parser = options(__doc__ or "", iterations=300, resnet_iterations=200, rewind=40, seeds=3)
    parser.add_argument("--data", required=True)
    chosen = parser.parse_args()
    by_level(chosen, Path(chosen.data).name)
    rewound(chosen, Path(chosen.data).name)


def by_level(chosen: argparse.Namespace, name: str) -> None:
    """Find tickets of Conv-2 level by level, and report."""
    conv = ticket(
        chosen,
        f"conv-2-{name}",
        model=f"{THIN}:conv_2",
        recipe="conv-2",
        learning_rate=1e-3,
        data=chosen.data,
        levels=2,
        rate=0.7,
        iterations=chosen.iterations,
        seeds=chosen.seeds,
    )
    report(
        f"lottery_conv2_{name}",
        f"Lottery tickets of Conv-2 of half the width on {name}",
        rows(conv, KINDS, ["300"]),
        [
            setup(conv, chosen.seeds, "Adam 1e-3, batch 60, Glorot, 70 % per level (output 35 %)"),
            "The paper trains the full width for 20,000 iterations at 2e-4: only the order of the"
            " columns can be compared.",
            "",
            *conv["verdict"],
        ],
        chosen.write,
    )


def rewound(chosen: argparse.Namespace, name: str) -> None:
    """Rewind ResNet-20 to the start and to a later iteration, and report."""
    shown = []
    for rewind in (0, chosen.rewind):
        found = ticket(
            chosen,
            f"resnet20-{name}-{rewind}",
            model=f"{THIN}:resnet20",
            data=chosen.data,
            scope="global",
            levels=1,
            rate=0.8,
            rewind=f"{rewind}it",
            batch_size=128,
            iterations=chosen.resnet_iterations,
            seeds=chosen.seeds,
        )
        shown += [{"rewound to": str(rewind), **row} for row in rows(found, KINDS)]
        shown[-1]["verdict"] = " ".join(found["verdict"])
        shown[-2]["verdict"] = ""
    report(
        f"lottery_rewinding_{name}",
        f"ResNet-20 (option A, half the width) on {name}: rewinding",
        shown,
        [
            setup(
                found, chosen.seeds, "SGD 0.1 one-cycle, batch 128, 80 % pruned at once, globally"
            ),
            "An epoch is 352 iterations: the trainings are far too short for the last word.",
        ],
        chosen.write,
    )


if __name__ == "__main__":
    main()
