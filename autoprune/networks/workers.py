"""Worker processes: the same results in the same order, whatever their number.

Every worker builds one state and then maps items through it, on one thread unless told otherwise,
since sums depend on the number of threads. Everything is sent through pipes; nothing is stored.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch
from torch import Tensor, nn

from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.closing import Closing
from autoprune.foundation.user_code import import_files, imported_files
from autoprune.networks.deaths import DEATHS, Deaths
from autoprune.networks.threads import threads as threaded

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Workers(Closing, Generic[Item, Outcome]):
    """Pool of at most ``count`` processes, of ``threads`` each, that map items by ``start(*args)``.

    No more are started than there are items at a time. One that dies is replaced, and its item sent
    again. With ``count`` 1 everything happens in this process, on as many threads, so that the
    results are the same to the last bit. Use it as a context manager. Items and results, ``start``
    (a function or class of a module) and ``args`` must be picklable.

    Raises UsageError if ``count`` is below 1 or ``args`` cannot be sent to another process.
    """

    def __init__(
        self,
        count: int,
        start: Callable[..., Callable[[Item], Outcome]],
        *args: Any,
        threads: int = 1,
    ) -> None:
        if count < 1:
            raise UsageError(f"there must be at least 1 worker, not {count}", "--workers 1")
        self.count, self._threads, self._start = count, threads, (start, args)
        self._state: Callable[[Item], Outcome] | None = None
        self._crew: list[_Worker] = []
        self._round = 0
        if count == 1:
            with threaded(threads):
                self._state = start(*args)
        else:
            self._crew.append(self._hire())

    @property
    def places(self) -> tuple[str, ...]:
        """Name of this machine, once for each process."""
        return ("this machine",) * max(1, len(self._crew))

    def close(self) -> None:
        """End the processes; what they work on is lost."""
        for worker in self._crew:
            worker.process.terminate()
        for worker in self._crew:
            worker.end()
        self._crew = []

    def map(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield the results in the order of ``items``, each as soon as it and those before it are.

        An error of a worker is raised here, in its item's place.
        """
        if self._state is not None:
            for item in items:
                with threaded(self._threads):
                    outcome = self._state(item)
                yield outcome
        else:
            yield from self._distribute(list(items))

    def _distribute(self, items: Sequence[Item]) -> Iterator[Outcome]:
        self._round += 1  # of a map that was given up, results may still arrive
        waiting, done = deque(range(len(items))), dict[int, tuple[bool, Any]]()
        deaths = Deaths()
        while len(self._crew) < min(self.count, len(items)):
            self._crew.append(self._hire())
        for worker in list(self._crew):
            worker.place = None
            self._hand_out(worker, waiting, items, deaths)
        for number in range(len(items)):
            while number not in done:
                ready = wait([worker.pipe for worker in self._crew])
                for worker in [worker for worker in self._crew if worker.pipe in ready]:
                    try:
                        (round_, place), *outcome = worker.pipe.recv()
                    except (EOFError, OSError):
                        self._replace(worker, waiting, items, deaths)
                        continue
                    if round_ == self._round:
                        done[place], worker.place = (outcome[0], outcome[1]), None
                        deaths.end_row()
                        self._hand_out(worker, waiting, items, deaths)
            good, value = done.pop(number)
            if not good:
                raise value
            yield value

    def _hire(self) -> _Worker:
        return _Worker(self._threads, *self._start)

    def _hand_out(
        self, worker: _Worker, waiting: deque[int], items: Sequence[Item], deaths: Deaths
    ) -> None:
        if waiting:
            worker.place = waiting.popleft()
            try:
                _send(worker.pipe, ((self._round, worker.place), items[worker.place]))
            except OSError:
                self._replace(worker, waiting, items, deaths)

    def _replace(
        self, worker: _Worker, waiting: deque[int], items: Sequence[Item], deaths: Deaths
    ) -> None:
        """Start another process in place of one that died, and send its item again.

        Raises AutopruneError when an item has killed several, or several died in a row.
        """
        worker.end()
        self._crew.remove(worker)
        if deaths.too_many(worker.place):
            raise _lost(worker.process.exitcode)
        if worker.place is not None:
            waiting.appendleft(worker.place)
        if waiting:
            self._crew.append(self._hire())
            self._hand_out(self._crew[-1], waiting, items, deaths)


class _Worker:
    """A worker process, our end of its pipe, and the place of the item that it works on."""

    def __init__(self, threads: int, start: Callable[..., Any], args: tuple[Any, ...]) -> None:
        context = get_context("spawn")
        self.place: int | None = None
        self.pipe, theirs = context.Pipe()
        # A daemon, so that no worker outlives us; if we are killed, its pipe ends.
        terms = (theirs, threads, imported_files())
        self.process = context.Process(target=_serve, args=terms, daemon=True)
        with _undisturbed():
            self.process.start()
        theirs.close()
        try:
            _send(self.pipe, (start, args))
        except UsageError:
            self.end()
            raise
        except OSError:  # it died at once, which shows when it gets an item
            return

    def end(self) -> None:
        """Wait for the process, which has its reasons to end, and make it if it does not."""
        self.pipe.close()
        self.process.join(_PATIENCE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


_PATIENCE: Final = 1.0
"""Seconds that a process has to end by itself."""


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Ctrl-C from a process that is started inside the block, from its first instant on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its own start would lift the block
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _serve(pipe: Connection, threads: int, files: Sequence[Path]) -> None:
    """Run a worker: build the state, then answer items until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all, the first one answers
    torch.set_num_threads(threads)
    sys.path.append(str(Path.cwd()))  # where ``package.module:function`` was found
    try:
        import_files(files)
        start, args = pipe.recv()
        began, state = attempt(start, *args)
        while True:
            number, item = pipe.recv()
            _send(pipe, (number, *(attempt(state, item) if began else (False, state))))
    except (EOFError, OSError, AutopruneError):  # nobody is there any more
        return


def attempt(function: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    """Return whether a call succeeds, and what it returns or raises, which can be sent."""
    try:
        return True, function(*args)
    except AutopruneError as error:
        return False, error
    except BaseException as error:  # of any library, so perhaps not to be sent as it is
        return False, AutopruneError(f"a worker fails: {type(error).__name__}: {error}")


def _lost(code: int | None) -> AutopruneError:
    return AutopruneError(
        f"{DEATHS} worker processes ended before their work was done, the last with exit code"
        f" {code}",
        "use fewer --workers if memory ran out; a script of your own that uses workers must"
        ' start its work under if __name__ == "__main__"',
    )


def _send(pipe: Connection, value: Any) -> None:
    pipe.send_bytes(packed(value))


def packed(value: Any) -> memoryview:
    """Return a value as bytes, tensors included; raises UsageError where it cannot be sent."""
    content = BytesIO()
    try:
        _Pickler(content).dump(value)
    except Exception as error:  # whatever an object of the user's does when it is taken apart
        raise UsageError(
            f"this cannot be sent to worker processes: {error}", "--workers 1"
        ) from error
    return content.getbuffer()


def unpacked(content: bytes) -> Any:
    """Return the value of ``packed``: for what a process of this user sent, never for a file."""
    return ForkingPickler.loads(content)


class _Pickler(ForkingPickler):
    """Pickler that sends tensors as bytes; torch would put each into the scarce shared memory."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        for kind in (Tensor, nn.Parameter):
            self.dispatch_table[kind] = _reduce


def _reduce(tensor: Tensor) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    own = tensor.detach().cpu().clone()  # dense, with the memory format of the original
    content = torch.empty(0, dtype=torch.uint8).set_(own.untyped_storage()).numpy()
    form = own.dtype, own.shape, own.stride(), tensor.device, tensor.requires_grad
    return _rebuild, (content, *form, isinstance(tensor, nn.Parameter))


def _rebuild(
    content: Any,
    dtype: torch.dtype,
    shape: torch.Size,
    stride: tuple[int, ...],
    device: torch.device,
    requires_grad: bool,
    is_parameter: bool,
) -> Tensor:
    storage = torch.from_numpy(content).untyped_storage()
    value = torch.empty(0, dtype=dtype).set_(storage, 0, shape, stride).to(device)
    if is_parameter:
        return nn.Parameter(value, requires_grad)
    return value.requires_grad_(requires_grad)
