"""Flipped bits and cut-off ends in every file of a finished run, and in one that was killed."""

import random
import shutil
from pathlib import Path

from tests.torture.forge import Forge
from tests.torture.works import RUN, Tally, arguments, clear, differences

SAID = ("damaged", "missing", "not what was written", "not valid", "format", "torn")
"""Words of which one must be said about a damaged file."""


def damage(forge: Forge, whole: Path, name: str, flips: int, cuts: int, seed: int) -> Tally:
    """Damage one file at a time and give the same command again.

    It must either end with exit 4 and name the file, or say what it makes anew and end like the
    reference: never with other results, never with a traceback.
    """
    chance, tally = random.Random(f"{name} {seed}"), Tally()
    files = [path for path in _files(whole) if path.stat().st_size]
    for number in range(flips + cuts):
        victim = files[number % len(files)]
        clear(forge.place)
        run = Path(shutil.copytree(whole, forge.place / RUN))
        target = run / victim.relative_to(whole)
        content = bytearray(target.read_bytes())
        if number < flips:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        else:
            del content[chance.randrange(len(content)) :]
        target.write_bytes(content)
        tally.note(_judge(forge, whole, name, target, bytes(content)))
    return tally


def _judge(forge: Forge, whole: Path, name: str, target: Path, content: bytes) -> str:
    death = forge.run(*arguments(name))
    what = f"{target.name}: exit {death.code}: {death.output[-300:]}"
    if "Traceback" in death.output or "internal error" in death.output:
        return what
    if death.code == 4:
        left = target.read_bytes() == content
        return "" if target.name in death.output and left else f"{what} (or not left alone)"
    if death.code != 0:
        return what
    unlike = differences(forge.place / RUN, whole)
    if unlike:
        return f"{target.name}: loaded silently? {', '.join(unlike)}"
    said = any(word in death.output for word in SAID) or target.suffix == ".jsonl"
    return "" if said else f"{target.name}: mended without a word"


def _files(whole: Path) -> list[Path]:
    return sorted(
        path
        for path in whole.rglob("*")
        if path.is_file() and not path.name.startswith("events.out.tfevents")
    )
