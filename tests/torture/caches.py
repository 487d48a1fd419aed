"""Caches that many write at once, that cannot be written, and that are damaged."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from tests.torture.forge import ROOT, Forge
from tests.torture.works import OWN, RUN, Tally, clear

TIMED = f"search --budget 1latency,0.9flops {OWN} --agent uniform --finetune-epochs 0 --no-baseline"


def share_one(place: Path, together: int) -> Tally:
    """Start searches with a latency budget at once, on one empty cache."""
    tally = Tally()
    shutil.rmtree(place / "shared-cache", ignore_errors=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "XDG_STATE_HOME": str(place / "state"),
        "XDG_CACHE_HOME": str(place / "shared-cache"),
    }
    started = []
    for number in range(together):
        shutil.rmtree(place / f"shared-{number}", ignore_errors=True)
        words = [sys.executable, "-m", "autoprune", *TIMED.split(), "--run", f"shared-{number}"]
        started.append(
            subprocess.Popen(
                words, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        )
    for process in started:
        said = process.communicate()[1].decode(errors="replace")
        sound = process.returncode == 0 and "damaged" not in said
        tally.note("" if sound else f"exit {process.returncode}: {said[-300:]}")
    left = [path.name for path in (place / "shared-cache").rglob(".tmp-*")]
    tally.note(f"left in the cache: {left}" if left else "")
    return tally


def spoil(forge: Forge, times: int, seed: int) -> Tally:
    """Flip a bit of a cache, or put something else in its place; the command must still end."""
    chance, tally = random.Random(f"caches {seed}"), Tally()
    cache = forge.place / "cache" / "autoprune"
    for number in range(times):
        clear(forge.place)
        if number % 3 == 2:
            shutil.rmtree(cache, ignore_errors=True)
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text("a file where the directory should be")
        for path in cache.rglob("*.json") if cache.is_dir() else ():
            if number % 3:
                path.unlink()
                os.mkfifo(path)
            else:
                content = bytearray(path.read_bytes())
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
                path.write_bytes(content)
        death = forge.run(*TIMED.split(), "--run", RUN)
        wrong = death.code or "Traceback" in death.output
        tally.note(f"exit {death.code}: {death.output[-300:]}" if wrong else "")
        if cache.is_file():
            cache.unlink()
    return tally
