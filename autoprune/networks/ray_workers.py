"""Workers as actors of a Ray cluster: the same results in the same order, whatever their number.

What every worker needs is put into the cluster once, and each node fetches it once. Objects travel
as they do to worker processes of this machine; nothing of it is stored.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import numpy as np
import torch

from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.closing import Closing
from autoprune.foundation.libraries import needed
from autoprune.foundation.user_code import import_files, imported_files
from autoprune.networks.deaths import DEATHS, Deaths
from autoprune.networks.workers import attempt, packed, unpacked

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_PATIENCE: Final = 300.0
"""Seconds that a cluster may have no room for any worker."""


@dataclass(frozen=True)
class Place:
    """Where a worker is, and what its sums depend on beside the network."""

    machine: str
    device: str
    arithmetic: str


class RayWorkers(Closing, Generic[Item, Outcome]):
    """Pool of ``count`` actors of one thread each that map items by ``start(*args)``.

    ``address``: a cluster that runs already; without it, or a cluster that this process is
    connected to, one is started on this machine, and ended by ``close``. ``gpus``: each actor has a
    GPU of its own. An actor that dies, or whose node does, is replaced, and its item sent again;
    one that the cluster has no room for is not waited for.

    Raises UsageError if ray is not installed, the cluster cannot be used, or ``args`` cannot be
    sent.
    """

    def __init__(
        self,
        count: int,
        start: Callable[..., Callable[[Item], Outcome]],
        *args: Any,
        address: str | None = None,
        gpus: bool = False,
    ) -> None:
        with needed("ray", "'autoprune[ray]'", "--executor ray"):
            import ray
        self.count, self.ray, self.crew = count, ray, list[Any]()
        self.begun: dict[Any, Place] = {}
        content = np.frombuffer(packed((start, args)), dtype=np.uint8)  # which ray copies only once
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(ray, address, count)
        self._parts = ray.put(content)
        self._actor = ray.remote(num_cpus=1, num_gpus=int(gpus), max_restarts=0)(_Served)

    @property
    def places(self) -> tuple[str, ...]:
        """Machine and device of each actor that has begun."""
        return tuple(f"{place.machine} {place.device}" for place in self.begun.values())

    def close(self) -> None:
        """End the actors, and the cluster or connection that was begun for them."""
        for actor in self.crew if self.ray.is_initialized() else ():
            self.ray.kill(actor)
        self.crew = []
        if self._ours:
            self.ray.shutdown()

    def map(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield the results in the order of ``items``, each as soon as it and those before it are.

        An error of a worker is raised here, in its item's place. Raises AutopruneError when an item
        has killed several workers, or several died in a row, or there is no room for any, and
        UsageError when a worker computes otherwise than this process.
        """
        todo = list(items)
        while len(self.crew) < min(self.count, len(todo)):
            self.hire()
        return _Round(self, todo).results()

    def hire(self) -> Any:
        """Start another actor."""
        self.crew.append(self._actor.remote(self._parts, str(Path.cwd()), imported_files()))
        return self.crew[-1]

    def dismiss(self, actor: Any) -> None:
        """Forget an actor that died."""
        self.crew.remove(actor)
        self.begun.pop(actor, None)


class _Round:
    """One map: which actor works on which item, and what is done.

    An actor gets an item once it has answered: one that the cluster has no room for never does, and
    one that still works on a round that was given up does later.
    """

    def __init__(self, workers: RayWorkers[Any, Any], items: Sequence[Any]) -> None:
        self._workers, self._items, self._ray = workers, items, workers.ray
        self._starting = {actor.ready.remote(): actor for actor in workers.crew}
        self._idle, self._waiting = deque[Any](), deque(range(len(items)))
        self._running: dict[Any, tuple[Any, int]] = {}
        self._done: dict[int, tuple[bool, Any]] = {}
        self._deaths = Deaths()

    def results(self) -> Iterator[Any]:
        """Yield the results in order, or raise the error of an item in its place."""
        for number in range(len(self._items)):
            while number not in self._done:
                self._hand_out()
                self._note(self._next())
            good, value = self._done.pop(number)
            if not good:
                raise value
            yield value

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            actor, place = self._idle.popleft(), self._waiting.popleft()
            content = bytes(packed(self._items[place]))
            self._running[actor.run.remote(content)] = actor, place

    def _next(self) -> Any:
        """Wait for an answer of any actor."""
        began = time.monotonic()
        while True:
            (*ready,), _ = self._ray.wait([*self._running, *self._starting], timeout=5.0)
            if ready:
                return ready[0]
            if not self._running and time.monotonic() - began > _PATIENCE:
                raise _no_room(self._ray)

    def _note(self, ready: Any) -> None:
        """Note what has come of an item, or that an actor is there."""
        actor, place = self._running.pop(ready, None) or (self._starting.pop(ready), None)
        try:
            found = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            self._replace(actor, place, error)
            return
        self._idle.append(actor)
        if place is None:
            _check_alike(found)
            self._workers.begun[actor] = found
        else:
            self._done[place] = found[0], unpacked(found[1])
            self._deaths.end_row()

    def _replace(self, actor: Any, place: int | None, error: Exception) -> None:
        """Start another actor in place of one that was lost, and send its item again."""
        self._workers.dismiss(actor)
        if self._deaths.too_many(place):
            raise _lost(error) from None
        if place is not None:
            self._waiting.appendleft(place)
        another = self._workers.hire()
        self._starting[another.ready.remote()] = another


class _Served:
    """Actor: builds the state at the first item, then answers items."""

    def __init__(self, parts: Any, place: str, files: Sequence[Path]) -> None:
        torch.set_num_threads(1)
        sys.path.append(place)  # where ``package.module:function`` was found
        self._parts, self._files = parts, files
        self._state: tuple[bool, Any] | None = None

    def ready(self) -> Place:
        """Say where the actor is."""
        return here()

    def run(self, content: bytes) -> tuple[bool, bytes]:
        """Return whether an item succeeded, and its result or error, packed."""
        if self._state is None:
            self._state = attempt(_begun, self._parts, self._files)
            self._parts = None
        good, state = self._state
        if good:
            good, state = attempt(state, unpacked(content))
        return good, bytes(packed(state))


def here() -> Place:
    """Return the place of this process."""
    return Place(
        platform.node(),
        "cuda:0" if os.environ.get("CUDA_VISIBLE_DEVICES") and torch.cuda.is_available() else "cpu",
        f"torch {torch.__version__} with {torch.backends.cpu.get_cpu_capability()}",
    )


def _check_alike(place: Place) -> None:
    """Raise UsageError for a worker whose sums may differ from those of this process."""
    ours = here().arithmetic
    if place.arithmetic != ours:
        raise UsageError(
            f"{place.machine} of the cluster computes by {place.arithmetic}, this machine by"
            f" {ours}: the result would depend on where a plan is evaluated",
            "install the same torch on processors of one kind, or use --executor local",
        )


def _begun(parts: Any, files: Sequence[Path]) -> Any:
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise _without(f"the file {missing[0]}")
    import_files(files)
    try:
        start, args = unpacked(parts)
    except ImportError as error:
        raise _without(f"the module {error.name}") from error
    return start(*args)


def _without(what: str) -> UsageError:
    return UsageError(
        f"{platform.node()} of the cluster lacks {what}, which the network or the data come from",
        "put your code at the same place on every node",
    )


def _connect(ray: Any, address: str | None, count: int) -> None:
    """Start a cluster on this machine, or connect to one; raises UsageError if there is none."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or ray warns of a change
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    terms = {"address": "local", "num_cpus": count} if address is None else {"address": address}
    try:
        with _handlers_kept():
            ray.init(**terms, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(
            f"no Ray cluster can be used at {address or 'this machine'}: {reason}",
            "its processes need the same releases of python and ray as this one",
        ) from error


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keep our handler of SIGTERM, which ray replaces when it connects."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _no_room(ray: Any) -> AutopruneError:
    held, free = ray.cluster_resources(), ray.available_resources()
    return AutopruneError(
        f"the cluster had no room for a worker in {_PATIENCE:g} s: it has"
        f" {held.get('CPU', 0):g} CPUs and {held.get('GPU', 0):g} GPUs, of which"
        f" {free.get('CPU', 0):g} and {free.get('GPU', 0):g} are free",
        "the same command continues when others have left it",
    )


def _lost(error: Exception) -> AutopruneError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else "")
    return AutopruneError(
        f"{DEATHS} workers of the cluster were lost at one evaluation, the last by: {reason}",
        "autoprune, and what your network and data import, must be installed on every node",
    )
