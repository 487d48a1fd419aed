"""Standard streams: the result alone goes to standard output, whatever other code writes there.

While a command runs, descriptor 1 leads where standard error leads, also for child processes, and
the result goes to a copy of the original. Streams that are closed, full or read by nobody stop no
work: without standard error nothing is said, without standard output the result is refused at last.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final, cast

from rich.console import Console, RenderableType

from autoprune.foundation.plain import Plain, plain_json

_NARROWEST: Final = 60


class UnwritableError(Exception):
    """Standard output that the result cannot be written to; ``gone``: its reader closed it."""

    def __init__(self, error: OSError) -> None:
        super().__init__((error.strerror or str(error)).lower())
        self.gone = isinstance(error, BrokenPipeError)


class Output(io.TextIOBase):
    """Standard output for the result alone; ``target`` is a descriptor, or a stream of Python's.

    Raises UnwritableError where it cannot be written.
    """

    def __init__(self, target: int | IO[str] | None, encoding: str) -> None:
        self._target, self._encoding = target, encoding
        self._process = os.getpid()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream, which decides whether lines are drawn with box characters."""
        return self._encoding

    def isatty(self) -> bool:
        """Return whether somebody looks at it."""
        if isinstance(self._target, int):
            return os.isatty(self._target)
        return self._target is not None and self._target.isatty()

    def write(self, text: str) -> int:
        """Write all of a text at once."""
        self.end_fork()
        try:
            if self._target is None:
                raise OSError(errno.EBADF, "it is closed")
            if isinstance(self._target, int):
                content = text.encode(self._encoding, "replace")
                while content:
                    content = content[os.write(self._target, content) :]
            else:
                self._target.write(text)
                self._target.flush()
        except OSError as error:
            raise UnwritableError(error) from error
        return len(text)

    def end_fork(self) -> None:
        """End this process if it is a fork of the one that the result is expected of."""
        if os.getpid() != self._process:
            os._exit(1)

    def json(self, text: str) -> None:
        """Write JSON on a line of its own."""
        self.write(plain_json(text) + "\n")

    def show(self, view: RenderableType) -> None:
        """Write what rich renders."""
        stream = cast("IO[str]", self)
        # Narrower than this a table loses its words; the terminal may wrap its lines instead.
        width = max(_NARROWEST, Console(file=stream).width)
        console = Console(file=stream, width=width, markup=False, emoji=False)
        with console.capture() as captured:
            console.print(Plain(view))
        self.write(captured.get())


@contextmanager
def separated() -> Iterator[Output]:
    """Keep standard output for what is written to the yielded stream inside the block."""
    _open_all()
    before = sys.stdout, sys.stderr
    stderr = cast("IO[str]", _Lenient(sys.stderr or open(2, "w", closefd=False)))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    own = os.dup(1) if _is_descriptor(sys.stdout, 1) else None
    if own is not None:
        _flush(sys.stdout)
        os.dup2(2, 1)
    sys.stdout = sys.stderr = cast("Any", stderr)
    try:
        yield Output(before[0] if own is None else own, encoding)
    finally:
        sys.stdout, sys.stderr = before
        if own is not None:
            _flush(sys.stdout)  # what user code kept a reference to is still no result
            os.dup2(own, 1)
            os.close(own)


class _Lenient:
    """Standard error that drops what it cannot write, like a program that runs on unattended."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        """Let the descriptors lead nowhere: what is in buffers would fail again at exit."""
        if not _is_descriptor(self._stream, 2):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            if number == 2 or os.path.samestat(os.fstat(1), os.fstat(2)):
                os.dup2(nowhere, number)
        os.close(nowhere)
        with suppress(OSError, ValueError):
            self._stream.flush()


def _open_all() -> None:
    """Open the standard descriptors that are closed: a file of ours might get their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            os.set_inheritable(number, True)


def _is_descriptor(stream: IO[str] | None, number: int) -> bool:
    try:
        return stream is not None and stream.fileno() == number
    except (AttributeError, OSError, ValueError):  # not every stream has one
        return False


def _flush(stream: IO[str] | None) -> None:
    with suppress(OSError, ValueError):
        if stream is not None:
            stream.flush()
