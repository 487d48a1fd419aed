"""Killed and interrupted at random instants, and continued: the end must be that of no kill."""

import random
import shutil
import signal
from pathlib import Path

from tests.torture.forge import Forge
from tests.torture.works import RUN, Tally, arguments, clear, differences

IN_A_ROW = 4
"""Kills of one run before it may end."""


def reference(forge: Forge, name: str) -> tuple[Path, float]:
    """Run a command to its end; return where its run is kept and how long it took."""
    clear(forge.place)
    death = forge.run(*arguments(name))
    assert death.code == 0, death.output
    kept = forge.place / f"reference {name}"
    shutil.rmtree(kept, ignore_errors=True)
    (forge.place / RUN).rename(kept)
    return kept, death.seconds


def kill(forge: Forge, whole: Path, seconds: float, name: str, kills: int, seed: int) -> Tally:
    """Kill a command ``kills`` times at instants spread evenly over what it takes."""
    chance, tally = random.Random(f"{name} {seed}"), Tally()
    while tally.done < kills:
        clear(forge.place)
        killed = 0
        while killed < IN_A_ROW:
            death = forge.run(*arguments(name), kill=chance.uniform(0, seconds))
            if death.code == 0:
                break
            killed += 1
            tally.done += 1
            if death.code != -signal.SIGKILL:
                tally.done -= 1
                tally.note(f"exit {death.code}: {death.output[-300:]}")
                break
        tally = _end(forge, whole, name, tally, killed)
    return tally


def interrupt(forge: Forge, whole: Path, seconds: float, name: str, times: int, seed: int):
    """Interrupt a command at random instants; return the tally and the seconds until it ended."""
    chance, tally, waits = random.Random(f"{name} {seed}"), Tally(), []
    while tally.done < times:
        clear(forge.place)
        when = chance.uniform(0.01, seconds)
        number = (signal.SIGTERM, signal.SIGINT)[tally.done % 2]
        death = forge.run(*arguments(name), kill=when, number=int(number))
        if death.code == 0:
            continue  # it was done before
        waits.append(death.seconds - when)
        line = death.output.splitlines()[-1] if death.output else ""
        sound = death.code == 130 and "interrupted" in line and "Traceback" not in death.output
        tally.note("" if sound else f"exit {death.code}: {death.output[-300:]}")
        if tally.done % 4 == 1:
            tally = _end(forge, whole, name, tally, 1)
    return tally, waits


def _end(forge: Forge, whole: Path, name: str, tally: Tally, killed: int) -> Tally:
    """Let a command end, and count its kills as bad if it does not end like the reference."""
    death = forge.run(*arguments(name))
    unlike = differences(forge.place / RUN, whole) if death.code == 0 else [death.output[-300:]]
    if unlike:
        tally.bad += max(killed, 1)
        tally.examples = (*tally.examples, f"{name}: {', '.join(unlike)}")[:5]
    return tally
