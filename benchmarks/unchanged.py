"""Whether a change of the code changed results: two commits, the same commands, the same bytes.

    python benchmarks/unchanged.py --against 976258a

Checks the other commit out beside this one, runs every command below in both on one thread with the
embedded data, and compares the sha256 of plans, weights, masks, journals and policies. Exits with 1
where they differ. Takes about three minutes for each of the two.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
GIVEN: Final = ("--model", "digits-resnet", "--weights", "trained", "--workers", "1")
SEARCH: Final = ("search", "--budget", "0.5flops", *GIVEN, "--finetune-epochs", "1")
PRUNE: Final = ("prune", "--budget", "0.5flops", *GIVEN[:4])
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "trained": ("train", "--steps", "150"),
    "ddpg": (*SEARCH, "--agent", "ddpg", "--evaluations", "16"),
    "ppo": (*SEARCH, "--agent", "ppo", "--evaluations", "12", "--no-baseline"),
    "dp": (*SEARCH, "--agent", "dp", "--evaluations", "8", "--no-baseline"),
    "evolution": (*SEARCH, "--agent", "evolution", "--evaluations", "12", "--no-baseline"),
    "masked": (
        *(*SEARCH, "--budget", "0.7flops", "--agent", "dp", "--evaluations", "4"),
        *("--granularity", "2:4"),
    ),
    "finetuned": ("finetune", "--run", "dp", "--steps", "60"),
    "iterative": (*PRUNE, "--schedule", "iterative", "--steps", "2", "--finetune-epochs", "1"),
    "ticket": (
        *("ticket", "--model", "lenet-300-100", "--levels", "2", "--iterations", "60"),
        *("--seeds", "2"),
    ),
    "compared": (
        *("compare", "--budget", "0.5flops", *GIVEN, "--agents", "uniform", "dp", "ddpg"),
        *("--evaluations", "8", "--seeds", "1", "--finetune-epochs", "1"),
    ),
    "policy": ("train-policy", "--models", "digits-resnet=trained", "--evaluations", "12"),
    "applied": ("apply", "--budget", "0.4flops", *GIVEN, "--finetune-epochs", "1"),
    "refined": (
        *("apply", "--budget", "0.4flops", *GIVEN, "--policy", "policy", "--evaluations", "10"),
        *("--finetune-epochs", "1"),
    ),
}
NOW: Final[dict[str, tuple[str, ...]]] = {"ppo": ("--reward", "score")}
"""Options that ask this checkout for what was the default before: PPO maximized the score."""

KEPT: Final = (".safetensors", ".jsonl", "plan.json", "model.json", "policy.json")
"""Names of what has to be the same: other files hold times or name the code they come from."""


def record(
    checkout: Path, work: Path, more: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> dict[str, str]:
    """Run every command with the code of a checkout; return the sha256 of each kept file."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    for name, command in COMMANDS.items():
        where = "--run-dir" if command[0] == "finetune" else "--run"
        options = (*command, *more.get(name, ()), where, name)
        line = [sys.executable, "-m", "autoprune", *options, "--json"]
        print(f"{checkout.name}: {name}", file=sys.stderr, flush=True)
        done = subprocess.run(line, cwd=work, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(line)}\n{done.stdout}\n{done.stderr}")
    return {
        str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(work.rglob("*"))
        if path.name.endswith(KEPT)
    }


def main() -> int:
    """Compare this checkout with another commit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", required=True, metavar="COMMIT")
    against = parser.parse_args().against
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, "base")
        worktree = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*worktree, "add", "--detach", str(base), against], check=True)
        try:
            found = []
            for name, checkout, more in (("before", base, {}), ("after", ROOT, NOW)):
                Path(folder, name).mkdir()
                found.append(record(checkout, Path(folder, name), more))
        finally:
            subprocess.run([*worktree, "remove", "--force", str(base)], check=True)
    before, after = found
    differ = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    print(json.dumps({"files": len(before), "differ": differ}, indent=1))
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
