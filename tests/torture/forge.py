"""Victims by the hundred: a server that has imported everything and forks one per command.

What is killed is a real process running the real command line; only its imports came for free.
The server is a process of its own, because forking one with threads is not safe.
"""

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Death:
    """How a command ended: exit code (minus the signal), output, seconds, largest memory in MB.

    ``busy`` are the seconds of the processor: what ``seconds`` would be if nobody else was there.
    """

    code: int
    output: str
    seconds: float
    busy: float
    megabytes: float


class Forge:
    """Starts victims in ``place``; ``hashing`` seeds the hashes of strings. A context manager."""

    def __init__(self, place: Path, hashing: int = 0) -> None:
        self.place = place
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": str(hashing),
            "OMP_NUM_THREADS": "1",
            "XDG_STATE_HOME": str(place / "state"),
            "XDG_CACHE_HOME": str(place / "cache"),
        }
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.forge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=place,
            env=environment,
        )

    def __enter__(self) -> "Forge":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def start(self, *arguments: str, **terms: object) -> None:
        """Start a command; ``terms`` are those of :func:`_victim` and :func:`_wait`."""
        request = json.dumps({"arguments": arguments, **terms})
        self._server.stdin.write(request + "\n")
        self._server.stdin.flush()

    def end(self) -> Death:
        """Wait for the command that was started."""
        answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError("the server of victims died")
        return Death(**json.loads(answer))

    def run(self, *arguments: str, **terms: object) -> Death:
        """Run a command to its end, whichever it is."""
        self.start(*arguments, **terms)
        return self.end()


def serve() -> None:
    """Fork a victim for every line of standard input."""
    # A shell that starts us in the background has us ignore Ctrl-C, and so would all victims.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _warm_up()
    for line in sys.stdin:
        request = json.loads(line)
        wait = {name: request.pop(name, None) for name in ("kill", "number")}
        began = time.monotonic()
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 2**20)  # nobody reads before the end
        victim = os.fork()
        if victim == 0:
            _victim(writer, **request)
        os.close(writer)
        _wait(victim, **wait)
        _, status, usage = os.wait4(victim, 0)
        seconds = time.monotonic() - began
        with open(reader, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "output": text,
            "seconds": seconds,
            "busy": usage.ru_utime + usage.ru_stime,
            "megabytes": usage.ru_maxrss / 1024,
        }
        print(json.dumps(answer), flush=True)


def _warm_up() -> None:
    """Import what commands import when they run, most of it by running one."""
    for name in (
        "agents.ppo",
        "commands.train_policy.run",
        "commands.compare.run",
        "commands.ticket.run",
        "commands.ticket.view",
        "foundation.charts",
        "commands.train.run",
        "commands.export.run",
    ):
        import_module(f"autoprune.{name}")
    import_module("sklearn.datasets")  # what --data digits imports
    from autoprune.cli.main import main
    from tests import owncode

    place = Path("warm-up")
    if not place.exists():
        place.mkdir()
        owncode.write(place)
    os.chdir(place)
    own = "--model nets.py:build --data mydata.py:loaders --fresh"
    search = f"search --budget 0.5flops {own} --weights build.safetensors --run search"
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        main(f"{search} --agent ddpg --evaluations 1 --finetune-epochs 1 --no-baseline".split())
    os.chdir("..")


def _victim(
    output: int,
    arguments: list[str],
    room: int | None = None,
    steps: dict[str, Any] | None = None,
    memory: int | None = None,
    clock: float | None = None,
) -> None:
    """Run a command in this process and end it.

    ``room``: no file may grow larger, in bytes. ``steps``: arguments of :class:`Steps`. ``memory``:
    no more bytes than there are now and so many. ``clock``: the time of day is wrong by so many
    seconds, and runs backwards.
    """
    code = 70
    from tests.torture.steps import Steps

    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        if memory is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * os.sysconf("SC_PAGE_SIZE") + memory
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        if clock is not None:
            began, real = time.time(), time.time
            time.time = lambda: began + clock - 100 * (real() - began)
        if steps is not None:
            images = steps.get("images")
            Steps(Path(steps["home"]), images and Path(images), steps.get("fails")).install()
        from autoprune.cli.main import main
        from autoprune.training.pace import PaceConfig, paced

        _shrink()
        with paced(PaceConfig(save_every=0.2, save_share=0.5)):
            code = main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _shrink() -> None:
    """Let policies practice less."""
    from autoprune.agents import generalist
    from autoprune.agents.policy_training import PolicyTrainingConfig

    short = PolicyTrainingConfig(rounds=6, every=2, warm_up=2, steps=32)
    terms = {"walks": 2, "variants": 1, "steps": 100, "training": short}
    generalist.GeneralistConfig = partial(generalist.GeneralistConfig, **terms)


def _wait(victim: int, kill: float | None, number: int | None) -> None:
    """Wait for a victim to end; send it a signal (SIGKILL) after ``kill`` seconds."""
    handle = os.pidfd_open(victim)
    if kill is not None and not select.select([handle], [], [], kill)[0]:
        os.kill(victim, number or signal.SIGKILL)
    select.select([handle], [], [])
    os.close(handle)


if __name__ == "__main__":
    serve()
