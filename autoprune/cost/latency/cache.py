"""Cache of measured times on disk, per machine: never trusted, never required.

``~/.cache/autoprune/latency/<machine>.json``: what it was measured on, nanoseconds by operation,
and a hash of both. Two processes may write the same file at a time: each adds to what it finds.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from autoprune.errors import AutopruneError, DamagedError
from autoprune.foundation.files import (
    canonical,
    digest,
    pretty,
    read_json,
    replace_text,
    user_directory,
)

FORMAT: Final = 1


def machine(device: torch.device, backend: str) -> dict[str, Any]:
    """Return everything that a measured time depends on besides the operation."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = _processor()
    return {
        "device": f"{device.type}: {name}",
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "backend": backend,
        "torch": str(torch.__version__),
    }


class Times:
    """Nanoseconds by operation, measured on one machine; ``notes`` say what was wrong on disk."""

    def __init__(self, on: Mapping[str, Any]) -> None:
        self.on = dict(on)
        self.notes: list[str] = []
        self.path = _directory() / f"{digest(canonical(self.on))[:16]}.json"
        self._known = self._read()
        self._new: dict[str, float] = {}

    def get(self, key: str) -> float | None:
        """Return the known time of an operation, None if there is none."""
        return self._known.get(key)

    def add(self, key: str, nanoseconds: float) -> None:
        """Note a measured time."""
        self._known[key] = self._new[key] = nanoseconds

    def save(self) -> None:
        """Write the new times; a file that cannot be written is left out."""
        if not self._new:
            return
        times = self._read() | self._new
        with contextlib.suppress(OSError, AutopruneError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check = digest(canonical([self.on, times]))
            stored = {"format": FORMAT, "on": self.on, "times": times, "check": check}
            replace_text(self.path, pretty(stored))
        self._new = {}

    def _read(self) -> dict[str, float]:
        if not self.path.exists():
            return {}
        try:
            stored = read_json(self.path)
            known = {key: float(value) for key, value in stored["times"].items()}
            check = digest(canonical([stored["on"], stored["times"]]))
            sound = stored["format"] == FORMAT and stored["check"] == check
            if not sound or not all(map(_sound, known.values())):
                raise DamagedError("not one of ours")
        except (DamagedError, OSError, KeyError, TypeError, ValueError, AttributeError):
            self._note(f"{self.path} is damaged: the times in it are measured again")
            return {}
        if stored["on"] != self.on:
            self._note(f"{self.path} is of another machine: the times in it are measured again")
            return {}
        return known

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _sound(nanoseconds: float) -> bool:
    return math.isfinite(nanoseconds) and nanoseconds >= 0


def _directory() -> Path:
    return user_directory("XDG_CACHE_HOME", ".cache") / "latency"


def _processor() -> str:
    """Name of the processor and what of it kernels are chosen by."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name} {torch.backends.cpu.get_cpu_capability()}"
