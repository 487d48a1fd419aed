"""A clock that is set back: wrong by years, running backwards, files from the future."""

import json
import os
import random
import shutil
import time
from pathlib import Path

from tests.torture.forge import Forge
from tests.torture.works import RUN, Tally, arguments, clear, differences

YEAR = 365 * 24 * 3600.0
SHIFTS = (-20 * YEAR, -3600.0, 3600.0, 20 * YEAR)
"""Seconds that the clock is wrong by."""


def set_back(forge: Forge, whole: Path, seconds: float, name: str, times: int, seed: int) -> Tally:
    """Kill a command and continue it under other clocks; it must end like the reference."""
    chance, tally = random.Random(f"clock {name} {seed}"), Tally()
    for _ in range(times):
        clear(forge.place)
        forge.run(*arguments(name), kill=chance.uniform(0, seconds), clock=chance.choice(SHIFTS))
        _date(forge.place, time.time() + chance.choice(SHIFTS))
        death = forge.run(*arguments(name), clock=chance.choice(SHIFTS))
        tally.note(_judge(death, forge.place / RUN, whole))
    shutil.rmtree(forge.place / "images", ignore_errors=True)
    return tally


def _judge(death, run: Path, whole: Path) -> str:
    if death.code:
        return f"exit {death.code}: {death.output[-300:]}"
    negative = [
        path.name for path in run.rglob("*.json") if _negative(json.loads(path.read_text()))
    ]
    return ", ".join([*differences(run, whole), *(f"negative time in {name}" for name in negative)])


def _negative(data: object) -> bool:
    """Whether JSON says that something took less than no time."""
    if isinstance(data, dict):
        own = [value for key, value in data.items() if "seconds" in key or key.endswith("_ms")]
        return any(isinstance(value, (int, float)) and value < 0 for value in own) or any(
            map(_negative, data.values())
        )
    return isinstance(data, list) and any(map(_negative, data))


def _date(place: Path, when: float) -> None:
    """Date everything that commands wrote, caches and lists of trust included."""
    for folder in (place / RUN, place / "cache", place / "state"):
        for path in [folder, *folder.rglob("*")] if folder.exists() else ():
            os.utime(path, (when, when), follow_symlinks=False)
