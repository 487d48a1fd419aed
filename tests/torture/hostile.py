"""Files from strangers in every place that takes one: no code of theirs runs, each is refused fast.

Everything that would run code touches the file ``executed`` in the working directory.
"""

import io
import json
import os
import pickle  # noqa: TID251, to write what the library must not read
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from autoprune.foundation.files import canonical, digest, pretty
from tests.torture.forge import Forge
from tests.torture.works import OWN, Tally

SENTINEL = "executed"
LONGEST, LARGEST = 1.0, 200.0
"""What a refusal may take: seconds of the processor, megabytes more than any refused command."""

SEARCH = "search --budget 0.5flops --agent uniform --evaluations 1 --finetune-epochs 0"


class Bomb:
    """What unpickling it does."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path(SENTINEL),)


def weights(place: Path) -> Iterator[Path]:
    """Write files that are no weights; yield each."""
    pickled = pickle.dumps(Bomb())
    torch.save({"state_dict": Bomb()}, place / "checkpoint.pt")
    torch.save(Bomb(), place / "checkpoint.pth")
    plain = {
        "replay_buffer.pkl": pickled,
        "vec_normalize.pkl": pickled,
        "pickled.safetensors": pickled,
        "stable_baselines3.zip": _zip(
            {
                "data": json.dumps({"policy_class": {":serialized:": "gASV"}}),
                "policy.pth": pickled,
                "pytorch_variables.pth": pickled,
            }
        ),
        "numpy.npy": b"\x93NUMPY\x01\x00F\x00{'descr': '|O', 'shape': (1,)}" + pickled,
        "empty.safetensors": b"",
        "huge_header.safetensors": struct.pack("<Q", 2**62) + b"{}",
        "long_header.safetensors": struct.pack("<Q", 99_000_000) + b"{" * 1000,
        "many.safetensors": _header({f"t{i}": ("F32", [1], [0, 4]) for i in range(100_000)}),
        "overlapping.safetensors": _header({"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [4, 12])}),
        "absurd_shape.safetensors": _header({"conv1.weight": ("F32", [2**40, 2**40], [0, 8])}),
        "negative.safetensors": _header({"conv1.weight": ("F32", [-1], [0, 4])}),
        "other.safetensors": _header({"x": ("F32", [2], [0, 8])}),
    }
    for name, content in plain.items():
        (place / name).write_bytes(content)
    yield from (place / name for name in ("checkpoint.pt", "checkpoint.pth", *plain))


def _zip(files: dict[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _header(entries: dict[str, tuple[str, list[int], list[int]]]) -> bytes:
    header = {
        name: {"dtype": kind, "shape": shape, "data_offsets": offsets}
        for name, (kind, shape, offsets) in entries.items()
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


JSON = {
    "nested": "[" * 1_000_000,
    "nested objects": '{"a":' * 200_000,
    "long": '"' + "x" * 70_000_000 + '"',
    "huge number": '{"format": ' + "9" * 5_000_000 + "}",
    "out of range": '{"format": 1e999}',
    "not a number": '{"format": NaN}',
    "twice": '{"format": 1, "format": 2}',
    "no text": "\ufffe\x00",
    "code": "{\"format\": \"__import__('os').system('touch executed')\"}",
}
"""JSON that no program of ours writes."""

FACTORIES = ("os:system", "subprocess:call", "builtins:exec", "posix:system", "shutil:rmtree")


def forged(run: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Yield (name, what makes a copy of ``run`` hostile); manifests fit what they list."""
    for target in ("config.json", "model.json", "plan.json", "result.json", "policy.json"):
        for name, text in JSON.items():
            yield f"{target} {name}", lambda copy, t=target, x=text: seal(copy, t, x)
    for name, text in JSON.items():
        yield f"manifest.json {name}", lambda copy, x=text: _write(copy / "manifest.json", x)
        yield (
            f"evaluations.jsonl {name}",
            lambda copy, x=text: _write(copy / "evaluations.jsonl", x + "\n"),
        )
    for factory in FACTORIES:
        spec = {"factory": factory, "kwargs": {"command": f"touch {SENTINEL}"}}
        yield f"model.json {factory}", lambda copy, s=spec: _edit(copy, "model.json", model=s)
        named = {"model": factory, "data": factory, "task": factory}
        yield f"config.json {factory}", lambda copy, n=named: _ask(copy, "search", n)
        yield f"training {factory}", lambda copy, n=named: _ask(copy, "train", n)
        full = {**spec, "path": "/usr/lib/python3/os.py", "sha256": "0" * 64}
        yield (
            f"model.json {factory}, complete",
            lambda copy, s=full: _edit(copy, "model.json", model=s),
        )
    for name in ("../escaped.json", "/tmp/escaped.json", "a/../../escaped", ".."):
        entries = {name: {"bytes": 1, "sha256": "0" * 64, "previous": None}}
        sealed = {"format": 1, "files": entries, "check": digest(canonical(entries))}
        yield (
            f"manifest.json {name}",
            lambda copy, s=sealed: _write(copy / "manifest.json", pretty(s)),
        )
    bomb = pickle.dumps(Bomb())
    yield "model.safetensors pickled", lambda copy: seal(copy, "model.safetensors", bomb)
    absurd = _header({"conv1.weight": ("F32", [2**40], [0, 2**42])})
    yield "model.safetensors absurd", lambda copy: seal(copy, "model.safetensors", absurd)
    huge = [["conv1.weight", 0, list(range(100_000))]]
    yield "model.json huge index", lambda copy: _edit(copy, "model.json", indices=huge)
    beyond = [["conv1.weight", 0, [2**70]]]
    yield "model.json index beyond any", lambda copy: _edit(copy, "model.json", indices=beyond)
    yield "config.json swapped journal", lambda copy: _write(copy / "evaluations.jsonl", "")
    for name in ("manifest.json", "evaluations.jsonl", "config.json"):
        yield f"{name} a pipe", lambda copy, n=name: _pipe(copy / n)
        yield f"{name} endless", lambda copy, n=name: _link(copy / n, "/dev/zero")
    wide = [["bn1", "num_features", 2**60]]
    yield "model.json huge width", lambda copy: _edit(copy, "model.json", widths=wide)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def seal(run: Path, name: str, content: str | bytes) -> None:
    """Put a file into a run, listed as if it belonged there."""
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    (run / name).write_bytes(data)
    manifest = json.loads((run / "manifest.json").read_text())
    from hashlib import sha256

    entry = {"bytes": len(data), "sha256": sha256(data).hexdigest(), "previous": None}
    files = {**manifest["files"], name: entry}
    sealed = {"format": 1, "files": files, "check": digest(canonical(files))}
    (run / "manifest.json").write_text(pretty(sealed))


def _edit(run: Path, name: str, **changes: object) -> None:
    seal(run, name, pretty({**json.loads((run / name).read_text()), **changes}))


def _ask(run: Path, command: str, options: dict[str, str]) -> None:
    """Let a run have been made by ``command`` with some options."""
    meta = json.loads((run / "config.json").read_text())
    config = {**meta["config"], **options}
    seal(run, "config.json", pretty({**meta, "command": command, "config": config}))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogatepass")


def readers(what: str) -> Iterator[tuple[str, str]]:
    """Yield (purpose, command) of what reads a run in which ``what`` is hostile."""
    name, code = what.split()[0], what.endswith((*FACTORIES, "complete"))
    export = "export --run copy --to safetensors --output out"
    if name == "training":
        yield "policy", "train-policy --models copy --evaluations 0 --run new"
    elif name == "config.json" and code:
        yield "finetuning", "finetune --run copy --epochs 1 --run-dir new"
        yield "ticket", "ticket --run copy --seeds 1 --iterations 2 --run-dir new"
    elif name in ("model.json", "model.safetensors", "manifest.json"):
        yield "export", export
        if code:
            yield "trusting export", f"{export} --trust-code"
    elif name == "policy.json":
        yield "apply", f"apply --policy copy {OWN} --budget 0.5flops --evaluations 0 --run applied"
    if name in ("config.json", "evaluations.jsonl", "manifest.json") and not code:
        yield "report", "report --run copy"


def attack(forge: Forge, every: int = 1) -> tuple[Tally, dict[str, float]]:
    """Offer every hostile file to every command that reads such files."""
    tally, most = Tally(), {"seconds": 0.0, "megabytes": 0.0, "executions": 0}
    place = forge.place
    calm = forge.run(*f"{SEARCH} --model nets.py:build --weights none.pt".split()).megabytes
    made = forge.run(*f"{SEARCH} {OWN} --agent ddpg --evaluations 3 --fresh --run sound".split())
    assert made.code == 0, made.output

    def offer(what: str, command: str) -> None:
        death = forge.run(*command.split())
        executed = (place / SENTINEL).exists()
        (place / SENTINEL).unlink(missing_ok=True)
        most["seconds"] = max(most["seconds"], death.busy)
        most["megabytes"] = max(most["megabytes"], death.megabytes - calm)
        most["executions"] += executed
        refused = death.code in (2, 4) and "Traceback" not in death.output
        sound = refused and not executed and "internal error" not in death.output
        quick = death.busy < LONGEST and death.megabytes - calm < LARGEST
        about = f"{what}: exit {death.code}, {death.busy:.1f} s, {death.megabytes - calm:.0f} MB"
        tally.note("" if sound and quick else f"{about}: {death.output[-150:]}")

    bad = place / "bad"
    bad.mkdir(exist_ok=True)
    for path in list(weights(bad))[::every]:
        offer(
            path.name, f"{SEARCH} --model nets.py:build --data mydata.py:loaders --weights {path}"
        )
        offer(f"{path.name} as a run", f"export --run {path} --to safetensors")
    for factory in FACTORIES:
        offer(f"--model {factory}", f"{SEARCH} --model {factory} --weights build.safetensors")
        offer(f"--data {factory}", f"{SEARCH} --model nets.py:build --data {factory}")
        offer(f"--task {factory}", f"{SEARCH} {OWN} --task {factory}")
    for what, spoil in list(forged(place / "sound"))[::every]:
        shutil.rmtree(place / "copy", ignore_errors=True)
        copy = Path(shutil.copytree(place / "sound", place / "copy"))
        spoil(copy)
        for purpose, command in readers(what):
            offer(f"{purpose} of {what}", command)
    return tally, most
