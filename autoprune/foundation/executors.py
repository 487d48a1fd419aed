"""Names of what carries out evaluations: this machine, or a Ray cluster."""

from __future__ import annotations

from typing import Final

from autoprune.errors import UsageError

LOCAL: Final = "local"
RAY: Final = "ray"


def check_executor(name: str) -> str:
    """Return the name of an executor; raise UsageError for one that there is not."""
    if name in (LOCAL, RAY) or is_address(name):
        return name
    raise UsageError(
        f"unknown executor {name!r}", "local, ray, or the address of a cluster, as ray://host:10001"
    )


def is_address(name: str) -> bool:
    """Whether an executor is a cluster that runs already: ``ray://host:port`` or ``host:port``."""
    host, _, port = name.removeprefix("ray://").rpartition(":")
    return bool(host) and port.isdigit()
