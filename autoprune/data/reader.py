"""Reading of rows of a user's data set, in batches: in this process or by workers of a loader.

Every row is read under a seed of its own, so that neither the number of workers nor what was read
before changes a sample: a training that was killed continues with the very samples it would have
seen.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from autoprune.data.randomness import Randomness, mixed
from autoprune.data.split import Split
from autoprune.data.task import Batch
from autoprune.errors import AutopruneError
from autoprune.foundation.user_code import blamed

Rows = NDArray[np.int64]
"""Numbers of rows of a data set."""

FIXED: Final = 20_161_123
"""Seed under which rows are read that must be the same every time."""

ONE_FORM: Final = "let a transform or a collate function bring all samples to one form"
"""What to do about samples that cannot be joined."""

_COLLATE: Final = 2**63
"""Added to the seed of a batch: what joins samples draws other numbers than the samples do."""


class Order(NamedTuple):
    """Rows of one batch, and the seed they are read under.

    ``start``: position of the first in its pass; None: a row's seed follows from its number alone.
    """

    rows: Rows
    seed: int
    start: int | None = None

    def seeds(self) -> list[int]:
        """Seed of each row."""
        numbers = self.rows if self.start is None else range(self.start, self.start + len(self))
        return [mixed(self.seed, int(number)) for number in numbers]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class LoaderOptions:
    """Options of a user's DataLoader that say how samples are read, not which.

    ``few``: batches that are read without workers. It is 0 for users' data sets, which may open
    files when they are first read: a file must not be shared with workers.
    """

    workers: int = 0
    few: int = 0
    pinned: bool = False
    timeout: float = 0
    prefetch: int | None = None
    on_start: Callable[[int], None] | None = None
    context: Any = None

    @classmethod
    def of(cls, loader: DataLoader[Any]) -> LoaderOptions:
        """Return those of a loader."""
        return cls(
            workers=loader.num_workers,
            pinned=loader.pin_memory,
            timeout=loader.timeout,
            prefetch=loader.prefetch_factor,
            on_start=loader.worker_init_fn,
            context=loader.multiprocessing_context,
        )


@dataclass(frozen=True, eq=False)
class Reader:
    """A map-style data set, how its samples are joined to batches, and by which workers.

    ``name`` stands in messages.
    """

    name: str
    dataset: Any
    collate: Callable[[list[Any]], Any] = default_collate
    options: LoaderOptions = field(default_factory=LoaderOptions)

    def read(self, orders: Sequence[Order]) -> Iterator[Batch]:
        """Yield one batch for each order. All random states are left as they were.

        Raises UsageError, in one line, for whatever goes wrong in the user's code, and for batches
        that are not made of finite tensors with one entry per sample.
        """
        options = self.options
        workers = min(options.workers, len(orders)) if len(orders) > options.few else 0
        if not workers or multiprocessing.current_process().daemon:
            for order in orders:
                with blamed(f"{self.name} cannot be read"):
                    batch = self._fetch(order)
                yield batch
            return
        with blamed(f"{self.name} cannot be read"):
            loader: DataLoader[Any] = DataLoader(
                _Remote(self._fetch, self.name),
                batch_size=None,
                sampler=list(orders),
                collate_fn=_as_it_is,
                num_workers=workers,
                pin_memory=options.pinned and torch.cuda.is_available(),
                timeout=options.timeout,
                prefetch_factor=options.prefetch,
                worker_init_fn=_Start(options.on_start, self.dataset),
                multiprocessing_context=options.context,
                generator=torch.Generator().manual_seed(FIXED),
            )
            batches = iter(loader)
        for _ in orders:
            with blamed(f"{self.name} cannot be read"):
                batch = next(batches)
            if isinstance(batch, _Failure):
                raise batch.kind(batch.text, batch.hint)
            yield batch

    @cached_property
    def _fetch(self) -> _Fetch:
        return _Fetch(self.name, self.dataset, self.collate)

    def over(self, dataset: object) -> Reader:
        """Return a reader that reads another data set in the same way."""
        return replace(self, dataset=dataset)


class _Fetch:
    """Function from an order to its batch, which can be sent to a worker."""

    def __init__(self, name: str, dataset: Any, collate: Callable[[list[Any]], Any]) -> None:
        self._name, self._dataset, self._collate = name, dataset, collate
        self._random = Randomness(dataset, collate, getattr(collate, "__self__", None))

    def __call__(self, order: Order) -> Batch:
        with self._random.kept():
            samples = []
            for row, seed in zip(order.rows.tolist(), order.seeds(), strict=True):
                self._random.seed(seed)
                samples.append(self._dataset[row])
            first = order.rows[0] if order.start is None else order.start
            self._random.seed(mixed(order.seed + _COLLATE, int(first)))
            with blamed(f"{self._name} cannot be read", ONE_FORM):
                batch = as_tensors(self._collate(samples))
        split = Split(batch, name=self._name)
        split.check_finite()
        return batch


class _Failure(NamedTuple):
    """Error in a worker: errors of users cannot always be sent, and their text is wrapped."""

    kind: type[AutopruneError]
    text: str
    hint: str


class _Remote(Dataset[Batch]):
    """Data set of a loader whose samples are whole batches; errors come back as failures."""

    def __init__(self, fetch: _Fetch, name: str) -> None:
        self._fetch, self._name = fetch, name

    def __getitem__(self, order: Order) -> Batch:
        try:
            with blamed(f"{self._name} cannot be read"):
                return self._fetch(order)
        except AutopruneError as error:
            return _Failure(type(error), str(error.args[0]), error.hint)


class _Start:
    """Start of a worker: the user's function finds the user's data set, not ours."""

    def __init__(self, function: Callable[[int], None] | None, dataset: Any) -> None:
        self._function, self._dataset = function, dataset

    def __call__(self, number: int) -> None:
        object.__setattr__(get_worker_info(), "dataset", self._dataset)  # it is frozen
        if self._function is not None:
            self._function(number)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def as_tensors(batch: Any) -> Any:
    """Turn arrays into tensors (double precision into single) and lists into tuples."""
    if isinstance(batch, (tuple, list)):
        return tuple(as_tensors(value) for value in batch)
    if isinstance(batch, Mapping):
        return {key: as_tensors(value) for key, value in batch.items()}
    if isinstance(batch, np.ndarray):
        if batch.dtype == np.float64:  # numpy's default, which no network takes
            batch = batch.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(batch))
    return batch.detach() if isinstance(batch, Tensor) else batch
