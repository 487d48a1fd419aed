"""What carries out evaluations: this machine, or a Ray cluster; and how many at a time."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from typing import Final

from autoprune.errors import UsageError

LOCAL: Final = "local"
RAY: Final = "ray"

ROUND: Final = 4
"""Plans that searchers propose at a time unless told otherwise: a constant, so that results do not
depend on the number of worker processes."""

_PATIENCE: Final = 5.0
"""Seconds that a cluster has to answer: ray itself would go on asking for minutes."""


def check_executor(name: str) -> None:
    """Raise UsageError for the name of an executor that there is not."""
    if name not in (LOCAL, RAY) and _host_and_port(name) is None:
        raise UsageError(
            f"unknown executor {name!r:.60}",
            "local, ray, or the address of a cluster, as in ray://host:10001",
        )


def check_reachable(name: str) -> None:
    """Raise UsageError where ray is not installed, or nobody answers at the cluster's address."""
    if name == LOCAL:
        return
    if find_spec("ray") is None:
        raise UsageError(
            "--executor ray needs ray: ray is not installed", "pip install 'autoprune[ray]'"
        )
    place = _host_and_port(cluster(name) or "")
    if place is None:
        return
    try:
        socket.create_connection(place, _PATIENCE).close()
    except OSError as error:
        raise UsageError(
            f"no Ray cluster answers at {place[0]}:{place[1]}: {error.strerror or error}",
            "start one there with `ray start --head`, or use --executor ray, on this machine alone",
        ) from error


def cluster(name: str) -> str | None:
    """Return the address of the cluster that an executor is; None: one is started here.

    ``ray`` is the cluster that ray's own variable names, as inside ``ray job submit``.
    """
    return name if name != RAY else os.environ.get("RAY_ADDRESS")


def _host_and_port(name: str) -> tuple[str, int] | None:
    """Read ``ray://host:port`` or ``host:port``; None for anything else."""
    host, _, port = name.removeprefix("ray://").rpartition(":")
    return (
        (host.strip("[]"), int(port)) if host and port.isdecimal() and int(port) < 2**16 else None
    )
