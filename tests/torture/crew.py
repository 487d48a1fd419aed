"""Worker processes that are killed, and Ctrl-C in a terminal, which reaches all processes."""

import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.torture.forge import ROOT
from tests.torture.works import OWN, Tally, differences

SEARCH = f"search --budget 0.5flops {OWN} --agent evolution --evaluations 60 --no-baseline"
DONE = "everything shown here"
"""Words in the table that a search ends with."""

PATIENCE = 120.0
"""Seconds after which a command counts as hanging."""


def kill_workers(place: Path, kills: int, seed: int) -> Tally:
    """Kill one of two workers at random instants; the run must be that of no kill."""
    chance, tally = random.Random(f"workers {seed}"), Tally()
    began = time.monotonic()
    problem = _finish(_start(place, "crew"))
    seconds = time.monotonic() - began
    assert not problem, problem
    whole = place / "reference of the crew"
    shutil.rmtree(whole, ignore_errors=True)
    (place / "crew").rename(whole)  # results name their run
    while tally.done < kills:
        victim = _start(place, "crew")
        time.sleep(chance.uniform(0, seconds))
        workers = _children(victim.pid)
        if not workers:
            victim.kill()
            victim.communicate()
            continue
        with suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
        problem = _finish(victim)
        tally.note(problem or ", ".join(differences(place / "crew", whole)))
    return tally


def press_keys(place: Path, times: int, seed: int) -> tuple[Tally, list[float]]:
    """Press Ctrl-C in a pseudo-terminal at random instants; return the seconds until the end."""
    chance, tally, waits = random.Random(f"keys {seed}"), Tally(), []
    while tally.done < times:
        shutil.rmtree(place / "keys", ignore_errors=True)
        words = [sys.executable, "-m", "autoprune", *SEARCH.split(), "--workers", "2"]
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(place)
            os.execve(words[0], [*words, "--run", "keys"], _environment(place))
        output, pressed = _watch(terminal, chance.uniform(3, 12))
        ended = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(terminal)
        if code == 0 or DONE in output:
            continue  # it was done before
        waits.append(ended - pressed)
        sound = code == 130 and "interrupted" in output and "Traceback" not in output
        tally.note("" if sound else f"exit {code}: {output[-300:]}")
    return tally, waits


def _watch(terminal: int, wait: float) -> tuple[str, float]:
    """Read a terminal to its end; press Ctrl-C after a while."""
    os.set_blocking(terminal, False)
    content, pressed = b"", 0.0
    press_at = time.monotonic() + wait
    while time.monotonic() < press_at + PATIENCE:
        if not pressed and time.monotonic() >= press_at:
            pressed = time.monotonic()
            with suppress(OSError):
                os.write(terminal, b"\x03")
        try:
            content += os.read(terminal, 4096)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:  # everybody has closed it
            break
    return content.decode(errors="replace"), pressed or time.monotonic()


def _start(place: Path, run: str) -> subprocess.Popen:
    shutil.rmtree(place / run, ignore_errors=True)
    return subprocess.Popen(
        [sys.executable, "-m", "autoprune", *SEARCH.split(), "--workers", "2", "--run", run],
        cwd=place,
        env=_environment(place),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen) -> str:
    """Wait for a command; return what is wrong with its end."""
    try:
        _, said = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "it hangs"
    return "" if process.returncode == 0 else f"exit {process.returncode}: {said[-300:]}"


def _children(process: int) -> list[int]:
    """Return the workers among the children of a process."""
    with suppress(OSError):
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(child) for child in children if _works(int(child))]
    return []


def _works(process: int) -> bool:
    with suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def _environment(place: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "XDG_STATE_HOME": str(place / "state"),
        "XDG_CACHE_HOME": str(place / "cache"),
    }
