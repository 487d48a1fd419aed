"""What is tortured: small commands that write runs, and what must come out the same to the byte."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from autoprune.networks import zoo
from tests import owncode
from tests.reports import timeless

OWN = "--model nets.py:build --weights build.safetensors --data mydata.py:loaders"
SEARCH = f"search --budget 0.5flops {OWN} --no-baseline"
TICKET = (
    "ticket --model nets.py:build --data mydata.py:loaders --levels 1 --seeds 1"
    " --iterations 8 --rewind 2it --batch-size 16"
)
RUN = "run"

WORKS = {
    "search, ddpg": f"{SEARCH} --agent ddpg --evaluations 12 --finetune-epochs 1 --run {RUN}",
    "search, evolution": f"{SEARCH} --agent evolution --evaluations 16 --finetune-epochs 1"
    f" --run {RUN}",
    "search, ppo": f"{SEARCH} --agent ppo --evaluations 12 --finetune-epochs 1 --run {RUN}",
    "training": f"train {OWN} --epochs 20 --batch-size 16 --run {RUN}",
    "fine-tuning": f"finetune {OWN} --epochs 20 --batch-size 16 --run-dir {RUN}",
    "tickets": f"{TICKET} --workers 1 --run-dir {RUN}",
    "tickets, two processes": f"{TICKET} --workers 2 --run-dir {RUN}",
    "prune schedule": f"prune --budget 0.5flops {OWN} --schedule iterative --steps 3"
    f" --finetune-epochs 4 --run {RUN}",
    "train-policy": "train-policy --models"
    " nets.py:build=build.safetensors,nets.py:wide=wide.safetensors"
    f" --data mydata.py:loaders --evaluations 12 --run {RUN}",
    "compare": f"compare --budget 0.5flops {OWN} --agents uniform evolution dp --evaluations 6"
    f" --seeds 2 --finetune-epochs 1 --workers 1 --run {RUN}",
}
"""Commands by name."""

REAL = {
    "search of a real network, two workers": "search --budget 0.5flops --weights real.safetensors"
    f" --agent evolution --evaluations 12 --finetune-epochs 3 --no-baseline --workers 2"
    f" --run {RUN}",
    "fine-tuning of a real network": "finetune --model digits-resnet --weights real.safetensors"
    f" --epochs 3 --run-dir {RUN}",
}
"""Commands on the embedded network, which take seconds and write states of half a megabyte."""

CLOCKED = ("seconds", "latency_ms", "speeds")
"""Facts in JSON files that no two runs share."""

UNLIKE = ("events.out.tfevents", "manifest.json")
"""Files that hold the time of day, or hashes of files that hold durations."""


def arguments(name: str) -> list[str]:
    return (WORKS | REAL)[name].split()


def furnish(place: Path) -> Path:
    """Write the user's files that the commands name."""
    place.mkdir(parents=True, exist_ok=True)
    owncode.write(place)
    torch.manual_seed(0)
    save_file(zoo.build("digits-resnet").state_dict(), place / "real.safetensors")
    return place


def products(run: Path) -> dict[str, Any]:
    """Everything a run came to, by file."""
    found = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.is_dir() or path.name.startswith(UNLIKE) or ".damaged-" in name:
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            found[name] = _timeless(json.loads(content))
        else:
            found[name] = timeless(content.decode()) if path.suffix == ".html" else content
    return found


def differences(run: Path, reference: Path) -> list[str]:
    """Names of files in which two runs differ, or that one of them lacks."""
    one, other = products(run), products(reference)
    return [name for name in sorted(one | other) if one.get(name) != other.get(name)]


def clear(place: Path) -> None:
    """Remove the run and its lock."""
    shutil.rmtree(place / RUN, ignore_errors=True)
    (place / f".{RUN}.lock").unlink(missing_ok=True)


def _timeless(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _timeless(value) for key, value in data.items() if key not in CLOCKED}
    return [_timeless(value) for value in data] if isinstance(data, list) else data


@dataclass
class Tally:
    """What was done to the victims and how often it went wrong, with examples."""

    done: int = 0
    bad: int = 0
    examples: tuple[str, ...] = ()

    def note(self, problem: str) -> None:
        """Count one more; an empty ``problem`` is none."""
        self.done += 1
        if problem:
            self.bad += 1
            self.examples = (*self.examples, problem)[:8]
