"""A network for each of ten budgets from one run, beside a search for each: effort and accuracy.

python benchmarks/budgets.py --run DIR [--model resnet20 --weights FILE --data DIR] [--write]

A run that was begun with the same options goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from support.reporting import parser, report

from autoprune.foundation.terminal import Terminal
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.family import Family
from autoprune.pipeline.result import Result
from autoprune.pipeline.search import run_search

BUDGETS = tuple(f"0.{tenths:02d}flops" for tenths in range(25, 75, 5))
ALONE = ("0.30flops", "0.50flops", "0.70flops")
"""Budgets that are also searched by themselves, with all evaluations."""


def main() -> None:
    """Search the family, then some of its budgets alone, and report."""
    options = parser(__doc__ or "")
    options.add_argument("--model", default="digits-resnet")
    options.add_argument("--weights")
    options.add_argument("--data", default="digits")
    options.add_argument("--agent", default="ddpg")
    options.add_argument("--evaluations", type=int, default=100)
    options.add_argument("--run", required=True)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    family = search(chosen, f"{chosen.run}-family", budgets=",".join(BUDGETS))
    single = {text: search(chosen, f"{chosen.run}-{text}", budget=text) for text in ALONE}
    report(
        f"budgets_{chosen.model}_{Path(chosen.data).name}",
        f"Ten budgets from one run: {chosen.model}, {Path(chosen.data).name}",
        rows(family, single),
        notes(chosen, family, single),
        chosen.write,
    )


def search(chosen: argparse.Namespace, run: str, **aim: str) -> Any:
    """Search without fine-tuning."""
    config = SearchConfig(
        model=chosen.model,
        weights=chosen.weights,
        data=chosen.data,
        agent=chosen.agent,
        evaluations=chosen.evaluations,
        finetune_epochs=0,
        baseline=False,
        run=run,
        **aim,
    )
    return run_search(config, Terminal(Console(stderr=True)))


def rows(family: Family, single: dict[str, Result]) -> list[dict[str, Any]]:
    """Show each network of the family, beside the one of a search by itself."""
    return [
        {
            "budget": one.budget,
            "evaluations": one.evaluations,
            "test": f"{one.finetuned.score:.2%}",
            "searched alone": f"{single[one.budget].finetuned.score:.2%}"
            if one.budget in single
            else "",
        }
        for one in family.results
    ]


def notes(chosen: argparse.Namespace, family: Family, single: dict[str, Result]) -> list[str]:
    """Say what ten budgets cost beside one."""
    every, _ = family.times
    alone = single["0.50flops"].seconds
    ratio = family.evaluations / family.alone.evaluations
    return [
        f"{chosen.agent}, {chosen.evaluations} evaluations, closed form without fine-tuning, one"
        f" seed; test split of the data, dense {family.alone.dense.score:.2%}.",
        f"All ten: {family.evaluations} evaluations, {ratio:.2f} times those of one;"
        f" {every:.0f} s, {every / alone:.2f} times the {alone:.0f} s of one search by itself"
        f" ({'within' if every <= 2 * alone else 'over'} the aim of twice).",
    ]


if __name__ == "__main__":
    main()
