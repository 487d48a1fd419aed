"""The table of ``transfer.py``: what its rows add up to, with the aims beside what was reached."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from support.reporting import report


def finish(
    rows: list[dict[str, float | str]],
    networks: Sequence[str],
    chosen: argparse.Namespace,
) -> None:
    """Add up, name the aims beside what was reached, and report."""
    gains = {
        other: [100 * (float(row["policy"]) - float(row[other])) for row in rows]
        for other in ("uniform", "dp", "imitation")
    }
    columns = dict.fromkeys(name for row in rows for name in row)  # not all may be refined
    shown = [{name: _cell(row.get(name, "")) for name in columns} for row in rows]
    above = sum(gain > 0 for gain in gains["uniform"])
    notes = [
        f"Test accuracy in percent, {chosen.images} test images (all, where there are fewer), no"
        " fine-tuning. dp, imitation and policy: no evaluation of the network in the row.",
        f"Policies trained on the other networks, {chosen.evaluations} evaluations on each, seed"
        f" {chosen.seed}; imitation: before practice by {chosen.agent}.",
        f"- policy above uniform in {above} of {len(rows)} rows (aim: all); mean"
        f" {np.mean(gains['uniform']):+.2f} points",
        f"- policy minus dp: mean {np.mean(gains['dp']):+.2f} points, least"
        f" {min(gains['dp']):+.2f} (aim: mean >= -1)",
        f"- policy minus imitation, what reinforcement learning adds: mean"
        f" {np.mean(gains['imitation']):+.2f} points",
        f"Networks: {'; '.join(networks)}. CIFAR ResNets have option-A shortcuts. {chosen.trained}",
    ]
    refined = [row for row in rows if f"dp + {chosen.refine}" in row]
    if refined:
        better = [
            100 * (float(row[f"policy + {chosen.refine}"]) - float(row[f"dp + {chosen.refine}"]))
            for row in refined
        ]
        notes.append(
            f"- with {chosen.refine} evaluations each, DDPG from the policy minus dp's own"
            f" refinement: mean {np.mean(better):+.2f} points, least {min(better):+.2f}, at or"
            f" above in {sum(gain >= 0 for gain in better)} of {len(better)} (aim: all)"
        )
    title = "Policies on networks they never saw"
    report(chosen.name, title, shown, notes, chosen.write)


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{100 * value:.2f}"
