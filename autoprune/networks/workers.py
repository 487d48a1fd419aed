"""Worker processes: the same results in the same order, whatever their number.

Every worker builds one state and then maps items through it, on a single thread, since sums depend
on the number of threads. Everything is sent through pipes; nothing is stored.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.user_code import import_files, imported_files
from autoprune.networks.execution import one_thread

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Workers(Generic[Item, Outcome]):
    """Pool of ``count`` processes, of one thread each, that map items through ``start(*args)``.

    With ``count`` 1 everything happens in this process, on one thread too, so that the results are
    the same to the last bit. Use it as a context manager. Items and results, ``start`` (a function
    or class of a module) and ``args`` must be picklable.

    Raises UsageError if ``count`` is below 1 or ``args`` cannot be sent to another process.
    """

    def __init__(
        self, count: int, start: Callable[..., Callable[[Item], Outcome]], *args: Any
    ) -> None:
        if count < 1:
            raise UsageError(f"there must be at least 1 worker, not {count}", "--workers 1")
        self.count = count
        self._state: Callable[[Item], Outcome] | None = None
        self._pipes: list[Connection] = []
        self._round = 0
        if count == 1:
            with one_thread():
                self._state = start(*args)
            return
        context = get_context("spawn")
        for _ in range(count):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            # A daemon, so that no worker outlives us; if we are killed, its pipe ends.
            context.Process(target=_serve, args=(theirs, imported_files()), daemon=True).start()
            theirs.close()
        for pipe in self._pipes:
            _send(pipe, (start, args))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the processes end, each after its current item."""
        for pipe in self._pipes:
            pipe.close()
        self._pipes = []

    def map(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield the results in the order of ``items``, each as soon as it and those before it are.

        An error of a worker is raised here, in its item's place.
        """
        if self._state is not None:
            for item in items:
                with one_thread():
                    outcome = self._state(item)
                yield outcome
        else:
            yield from self._distribute(list(items))

    def _distribute(self, items: Sequence[Item]) -> Iterator[Outcome]:
        self._round += 1  # of a map that was given up, results may still arrive
        waiting, done = deque(range(len(items))), dict[int, tuple[bool, Any]]()
        for pipe in self._pipes[: len(items)]:
            self._hand_out(pipe, waiting, items)
        for number in range(len(items)):
            while number not in done:
                ready = wait(self._pipes)
                for pipe in (pipe for pipe in self._pipes if pipe in ready):
                    (round_, place), *outcome = _receive(pipe)
                    if round_ == self._round:
                        done[place] = (outcome[0], outcome[1])
                        self._hand_out(pipe, waiting, items)
            good, value = done.pop(number)
            if not good:
                raise value
            yield value

    def _hand_out(self, pipe: Connection, waiting: deque[int], items: Sequence[Item]) -> None:
        if waiting:
            place = waiting.popleft()
            _send(pipe, ((self._round, place), items[place]))


def _serve(pipe: Connection, files: Sequence[Path]) -> None:
    """Run a worker: build the state, then answer items until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all, the first one answers
    torch.set_num_threads(1)
    sys.path.append(str(Path.cwd()))  # where ``package.module:function`` was found
    try:
        import_files(files)
        start, args = pipe.recv()
        began, state = _attempt(start, *args)
        while True:
            number, item = pipe.recv()
            _send(pipe, (number, *(_attempt(state, item) if began else (False, state))))
    except (EOFError, AutopruneError):  # nobody is there any more
        return


def _attempt(function: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    try:
        return True, function(*args)
    except AutopruneError as error:
        return False, error
    except Exception as error:  # of any library, so perhaps not to be sent as it is
        return False, AutopruneError(f"a worker fails: {type(error).__name__}: {error}")


def _receive(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        raise _lost() from None


def _lost() -> AutopruneError:
    return AutopruneError(
        "a worker process ended before its work was done",
        "use fewer --workers if memory ran out; a script of your own that uses workers must"
        ' start its work under if __name__ == "__main__"',
    )


def _send(pipe: Connection, value: Any) -> None:
    content = BytesIO()
    try:
        _Pickler(content).dump(value)
    except Exception as error:  # whatever an object of the user's does when it is taken apart
        raise UsageError(
            f"this cannot be sent to worker processes: {error}", "--workers 1"
        ) from error
    try:
        pipe.send_bytes(content.getbuffer())
    except BrokenPipeError:
        raise _lost() from None


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
