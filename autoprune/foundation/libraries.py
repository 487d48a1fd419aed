"""Optional libraries: one line where one is missing, or does not work with the others here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autoprune.errors import UsageError


@contextmanager
def needed(library: str, install: str, purpose: str = "") -> Iterator[None]:
    """Turn a failed import of a library into a UsageError; ``install`` is what pip installs.

    ``purpose`` says what needs it, where that is not plain.
    """
    because = f"{purpose} needs {library}: " if purpose else ""
    try:
        yield
    except (ImportError, RuntimeError, OSError) as error:
        if isinstance(error, ImportError) and error.name == library:
            raise UsageError(
                f"{because}{library} is not installed", f"pip install {install}"
            ) from None
        cause = error.__cause__ or error
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        raise UsageError(
            f"{because}{library} does not work with what is installed here: {reason}",
            f"install releases made for each other, from the same index: pip install {install}",
        ) from error
