"""What carries out evaluations: processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from autoprune.foundation.executors import LOCAL, check_reachable, cluster
from autoprune.networks.workers import Workers

Item = TypeVar("Item", contravariant=True)
Outcome = TypeVar("Outcome", covariant=True)


class Executor(Protocol[Item, Outcome]):
    """Carries out one function on many items: the same results in the same order, however many.

    ``count``: items that are worked on at a time, at most.
    """

    count: int

    @property
    def places(self) -> tuple[str, ...]:
        """Machine and device of each worker that has begun."""

    def map(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield the results in the order of ``items``."""

    def close(self) -> None:
        """End what works; what it works on is lost."""


def hire(
    executor: str,
    count: int,
    start: Callable[..., Callable[[Any], Any]],
    *args: Any,
    gpus: bool = False,
) -> Executor[Any, Any]:
    """Return ``count`` workers of one thread each, whose state is ``start(*args)``.

    ``gpus``: each worker of a cluster gets a GPU of its own, which it knows as ``cuda:0``.
    Raises UsageError if ``args`` cannot be sent to them, or there is no cluster at the address.
    """
    if executor == LOCAL:
        return Workers(count, start, *args)
    check_reachable(executor)
    from autoprune.networks.ray_workers import RayWorkers

    return RayWorkers(count, start, *args, address=cluster(executor), gpus=gpus)
