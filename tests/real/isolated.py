"""Rows of the table of networks, each measured in a process of its own.

It is limited in processor seconds: what else runs on the machine decides no row.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import resource
import signal
import traceback
from multiprocessing.connection import Connection
from typing import Any

from tests.real import measure
from tests.real.network import Network

Row = dict[str, Any]

TOOLS = {"ours": measure.by_us, "theirs": measure.by_them, "export": measure.by_export}


PATIENCE = 20
"""How many times the limit is waited for: others use the machine, or the process sleeps."""


def row(tool: str, network: Network, limit: float) -> Row:
    """Measure a network by a tool; ``failed`` says why there is no figure.

    ``limit``: processor seconds.

    The process is forked, as it would spend more time on importing libraries than on the network.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(there, tool, network, limit), daemon=True)
    process.start()
    there.close()
    late = {"failed": f"no end in {limit:.0f} s"}
    try:
        found: Row = here.recv() if here.poll(PATIENCE * limit) else late
    except EOFError:
        process.join()
        found = late if process.exitcode == -signal.SIGXCPU else {"failed": "the process died"}
    process.kill()
    process.join()
    return found


def _send(pipe: Connection, tool: str, network: Network, limit: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (round(limit), round(limit) + 1))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            found = TOOLS[tool](network)
        except BaseException as error:  # whatever a library raises is a row
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = frame.filename.rpartition("site-packages/")[2].rpartition("/")[2]
            said = (str(error).strip().splitlines() or [""])[0][:120]
            found = {"failed": f"{type(error).__name__}: {said} ({place}:{frame.lineno})"}
    pipe.send(found)
