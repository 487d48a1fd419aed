"""Workers as actors of a Ray cluster: the same results in the same order, whatever their number.

What every worker needs is put into the cluster once, and each node fetches it once. Objects travel
as they do to worker processes of this machine; nothing of it is stored.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from socket import create_connection
from typing import Any, Final, Generic, TypeVar

import torch

from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.closing import Closing
from autoprune.foundation.libraries import needed
from autoprune.foundation.user_code import import_files, imported_files
from autoprune.networks.workers import DEATHS, attempt, packed, unpacked

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

PURPOSE: Final = "--executor ray"

_REACHED: Final = 10.0
"""Seconds in which a cluster has to answer."""

_ANY: Final = -1
"""Where losses are counted in a row, whatever the item."""


class RayWorkers(Closing, Generic[Item, Outcome]):
    """Pool of ``count`` actors of one thread each that map items by ``start(*args)``.

    ``address``: a cluster that runs already; without it, or a cluster that this process is
    connected to, one is started on this machine, and ended by ``close``. An actor that dies is
    replaced, and its item sent again.

    Raises UsageError if ray is not installed, the cluster cannot be reached, or ``args`` cannot be
    sent.
    """

    def __init__(
        self,
        count: int,
        start: Callable[..., Callable[[Item], Outcome]],
        *args: Any,
        address: str | None = None,
    ) -> None:
        with needed("ray", "'autoprune[ray]'", PURPOSE):
            import ray
        self.count, self.ray, self._crew = count, ray, list[Any]()
        content = bytes(packed((start, args)))
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(ray, address, count)
        self._parts = ray.put(content)
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(_Served)

    def close(self) -> None:
        """End the actors, and the cluster or connection that was begun for them."""
        for actor in self._crew:
            self.ray.kill(actor)
        self._crew = []
        if self._ours:
            self.ray.shutdown()

    def map(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield the results in the order of ``items``, each as soon as it and those before it are.

        An error of a worker is raised here, in its item's place.
        """
        todo = list(items)
        while len(self._crew) < min(self.count, len(todo)):
            self._crew.append(self._hire())
        return _Round(self, todo).results()

    def _hire(self) -> Any:
        return self._actor.remote(self._parts, str(Path.cwd()), imported_files())

    def replace(self, actor: Any) -> Any:
        """Start another actor in place of one that died."""
        self._crew.remove(actor)
        self._crew.append(self._hire())
        return self._crew[-1]

    @property
    def crew(self) -> Sequence[Any]:
        """The actors."""
        return self._crew


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
        self._deaths = Counter[int]()

    def results(self) -> Iterator[Any]:
        """Yield the results in order, or raise the error of an item in its place."""
        for number in range(len(self._items)):
            while number not in self._done:
                self._hand_out()
                (ready, *_), _ = self._ray.wait([*self._running, *self._starting])
                self._note(ready)
            good, value = self._done.pop(number)
            if not good:
                raise value
            yield value

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            actor, place = self._idle.popleft(), self._waiting.popleft()
            content = bytes(packed(self._items[place]))
            self._running[actor.run.remote(content)] = actor, place

    def _note(self, ready: Any) -> None:
        """Note what has come of an item, or that an actor is there."""
        actor, place = self._running.pop(ready, None) or (self._starting.pop(ready), None)
        try:
            found = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            self._replace(actor, place, error)
            return
        self._idle.append(actor)
        if place is not None:
            self._done[place] = found[0], unpacked(found[1])
            self._deaths[_ANY] = 0

    def _replace(self, actor: Any, place: int | None, error: Exception) -> None:
        """Start another actor in place of one that was lost, and send its item again."""
        lost = (_ANY,) if place is None else (_ANY, place)
        self._deaths.update(lost)
        if max(self._deaths[one] for one in lost) >= DEATHS:
            raise _lost(error) from None
        if place is not None:
            self._waiting.appendleft(place)
        another = self._workers.replace(actor)
        self._starting[another.ready.remote()] = another


class _Served:
    """Actor: builds the state, then answers items."""

    def __init__(self, parts: bytes, place: str, files: Sequence[Path]) -> None:
        torch.set_num_threads(1)
        sys.path.append(place)  # where ``package.module:function`` was found
        self._began, self._state = attempt(_begun, parts, files)

    def ready(self) -> None:
        """Answer that the actor is there."""

    def run(self, content: bytes) -> tuple[bool, bytes]:
        """Return whether an item succeeded, and its result or error, packed."""
        item = unpacked(content)
        good, value = attempt(self._state, item) if self._began else (False, self._state)
        return good, bytes(packed(value))


def _begun(parts: bytes, files: Sequence[Path]) -> Any:
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise UsageError(
            f"a node of the cluster has no {missing[0]}, which the network or the data come from",
            "put your code at the same place on every node",
        )
    import_files(files)
    start, args = unpacked(parts)
    return start(*args)


def _connect(ray: Any, address: str | None, count: int) -> None:
    """Start a cluster on this machine, or connect to one; raises UsageError if there is none."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or ray warns of a change
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    try:
        if address is None:
            ray.init(address="local", num_cpus=count, include_dashboard=None, **quiet)
        else:
            host, _, port = address.removeprefix("ray://").rpartition(":")
            create_connection((host, int(port)), _REACHED).close()  # ray tries for minutes
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        where = address or "this machine"
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(
            f"no Ray cluster can be used at {where}: {reason}",
            "start one with `ray start --head`, or leave the address out",
        ) from error


def _lost(error: Exception) -> AutopruneError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else "")
    return AutopruneError(
        f"{DEATHS} workers of the cluster were lost at one evaluation, the last by: {reason}",
        "autoprune, and what your network and data import, must be installed on every node",
    )
