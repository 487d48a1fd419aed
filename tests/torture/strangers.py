"""Tickets and policies of strangers: every file of theirs hostile in turn, hashes that fit."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from autoprune.foundation.files import canonical, digest, pretty
from tests.torture.forge import Forge
from tests.torture.hostile import JSON, LARGEST, SENTINEL, seal, weights
from tests.torture.works import OWN, TICKET, Tally, arguments

TICKET_RUN, POLICY_RUN, SEARCH_RUN = "sound-ticket", "sound-policy", "sound-search"
LONGEST = 30.0
"""Seconds of the processor after which a command counts as caught in a file."""

TIMES = 3
"""Contents that each file gets, beside what is no regular file."""

ESCAPE = "\x1b]0;mine\x07\x1b[2J\x9b31m"
NUMBERS = (2**70, -(2**70), -1, 0, 1e308, 1.5, True)
STRANGE = (None, "", [], {}, [[[[]]]], "x" * 100_000, ESCAPE, "../../escaped", "os:system")

Spoil = Callable[[Path], None]


def offer_all(forge: Forge, every: int, seed: int) -> tuple[Tally, dict[str, float]]:
    """Offer tickets and policies, each file of them changed in turn, to what reads them."""
    place, tally = forge.place, Tally()
    most = {"seconds": 0.0, "megabytes": 0.0, "executions": 0}
    calm = _furnish(forge)
    for run, commands in _readers().items():
        for name, spoil in list(_spoiled(place / run, place / "bad strangers", seed))[::every]:
            for command in commands:
                for left in ("copy", "new"):
                    shutil.rmtree(place / left, ignore_errors=True)
                spoil(Path(shutil.copytree(place / run, place / "copy")))
                death = forge.run(*command.split(), kill=300.0)
                executed = (place / SENTINEL).exists()
                (place / SENTINEL).unlink(missing_ok=True)
                most["executions"] += executed
                most["seconds"] = max(most["seconds"], death.busy)
                most["megabytes"] = max(most["megabytes"], death.megabytes - calm)
                sound = death.code in (0, 2, 4) and not executed and not _rude(death.output)
                frugal = death.busy < LONGEST and death.megabytes - calm < LARGEST
                what = f"{command.split()[0]} of {run}, {name}: exit {death.code}"
                tally.note("" if sound and frugal else f"{what}: {death.output[-200:]!r}")
    return tally, most


def _rude(output: str) -> bool:
    said = any(word in output for word in ("Traceback", "internal error", "\x1b]0", "\x1b[2J"))
    return said or "\x9b" in output or "\x07" in output


def _furnish(forge: Forge) -> float:
    """Make a ticket, a policy and a search; return the most memory that one of them took."""
    made = [
        f"{TICKET} --workers 1 --fresh --run-dir {TICKET_RUN}".split(),
        [*arguments("train-policy")[:-1], POLICY_RUN, "--fresh"],
        f"search --budget 0.5flops --model nets.py:build --data mydata.py:loaders --weights"
        f" build.safetensors --agent uniform --finetune-epochs 0 --no-baseline --fresh"
        f" --run {SEARCH_RUN}".split(),
    ]
    most = 0.0
    for words in made:
        death = forge.run(*words)
        assert death.code == 0, death.output
        most = max(most, death.megabytes)
    return most


def _readers() -> dict[str, tuple[str, ...]]:
    """Commands that read a copy of each run."""
    apply = f"apply {OWN} --budget 0.5flops --evaluations 0 --finetune-epochs 0 --run new --policy"
    retrain = (
        "ticket --run copy --seeds 1 --iterations 2 --workers 1 --run-dir new"
        " --initial build.safetensors"
    )
    return {
        TICKET_RUN: (f"{TICKET} --workers 1 --run-dir copy", "report --run copy"),
        POLICY_RUN: (f"{apply} copy", "report --run copy"),
        SEARCH_RUN: (retrain, f"{retrain} --trust-code"),
    }


def _spoiled(run: Path, bad: Path, seed: int) -> Iterator[tuple[str, Spoil]]:
    """Yield what spoils a copy of a run: kinds of files, contents, values and records."""
    chance = random.Random(f"strangers {run.name} {seed}")
    bad.mkdir(exist_ok=True)
    foreign = [path for path in weights(bad) if path.suffix == ".safetensors"]
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = path.relative_to(run)
        if name.name.startswith("events.") or name.suffix in (".svg", ".png", ".py"):
            continue
        for kind in ("pipe", "endless", "directory", "loop"):
            yield f"{name} a {kind}", lambda copy, n=name, k=kind: _replace(copy / n, k)
        for _ in range(TIMES):
            if name.suffix == ".json" and name.name != "manifest.json":
                data = _changed(json.loads(path.read_text()), chance)
                yield f"{name} changed", lambda copy, n=name, d=data: _put(copy / n, pretty(d))
                kind = chance.choice(list(JSON))
                yield f"{name} {kind}", lambda copy, n=name, k=kind: _put(copy / n, JSON[k])
            elif name.suffix == ".jsonl":
                records = [json.loads(line) for line in path.read_text().splitlines()]
                place = chance.randrange(len(records))
                records[place] = _changed(records[place], chance)
                yield f"{name} changed", lambda copy, n=name, r=records: _journal(copy / n, r)
            elif name.suffix == ".safetensors":
                content = chance.choice(foreign).read_bytes()
                yield f"{name} foreign", lambda copy, n=name, c=content: _put(copy / n, c)
                odd = save(_odd(load_file(path), chance))
                yield f"{name} odd", lambda copy, n=name, c=odd: _put(copy / n, c)


def _changed(data: object, chance: random.Random) -> object:
    """Change one value somewhere in JSON to what nobody would write."""
    if isinstance(data, dict) and data and chance.random() < 0.9:
        key = chance.choice(list(data))
        if chance.random() < 0.1:
            return {ESCAPE if name == key else name: value for name, value in data.items()}
        return {**data, key: _changed(data[key], chance)}
    if isinstance(data, list) and data and chance.random() < 0.9:
        place = chance.randrange(len(data))
        return [*data[:place], _changed(data[place], chance), *data[place + 1 :]]
    return chance.choice(NUMBERS if isinstance(data, (int, float)) else (*NUMBERS, *STRANGE))


def _odd(tensors: dict[str, torch.Tensor], chance: random.Random) -> dict[str, torch.Tensor]:
    """Change type, shape, values or name of one tensor."""
    if not tensors:
        return {"x": torch.zeros(1)}
    name = chance.choice(list(tensors))
    value = tensors[name]
    odd = [
        value.to(torch.int8),
        value.bool(),
        value.to(torch.complex64),
        value.double(),
        value.float().to(torch.float8_e4m3fn),
        value.flatten(),
        value[None],
        torch.zeros(0),
        torch.full(value.shape, float("nan")),
        torch.full(value.shape, 3e38),
    ]
    if chance.random() < 0.2:
        return {ESCAPE if key == name else key: tensor for key, tensor in tensors.items()}
    return {**tensors, name: chance.choice(odd).contiguous()}


def _put(path: Path, content: str | bytes) -> None:
    """Write a file that the manifest beside it vouches for."""
    if (path.parent / "manifest.json").exists():
        seal(path.parent, path.name, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8", errors="surrogatepass")


def _journal(path: Path, records: list[object]) -> None:
    """Write a journal whose checks fit."""
    check, lines = "", []
    for record in records:
        plain = dict(record) if isinstance(record, dict) else {"value": record}
        plain.pop("check", None)
        check = digest(check + canonical(plain))[:16]
        lines.append(canonical({**plain, "check": check}) + "\n")
    path.write_text("".join(lines))


def _replace(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "endless" else path.name)
