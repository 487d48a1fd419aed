"""Parquet files that expand to far more than they are: small files that fill memory and disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from autoprune.errors import DamagedError

RATIO: Final = 100
"""Times its size that a table may expand to. Images are compressed already: theirs is about 1."""

FREE: Final = 2**26
"""Bytes that any table may expand to."""


def refuse_bombs(directory: Path) -> None:
    """Raise DamagedError for a parquet file, or one below a directory, that expands beyond reason.

    What a file says of itself goes first. Then its rows are read, a few at a time, and counted:
    one value can stand for any number of rows.
    """
    files = [directory] if directory.is_file() else sorted(directory.rglob("*.parquet"))
    for path in files if _installed() else ():
        _check(path)


def _installed() -> bool:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:  # who reads the files says so
        return False
    return True


def _check(path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    limit = FREE + RATIO * path.stat().st_size
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            chunks = _claims(table.metadata)
            if sum(chunks) > limit:
                raise _bomb(path, limit)
            rows, total = max(1, min(1024, FREE // max(chunks, default=1))), 0
            for batch in table.iter_batches(batch_size=rows):
                total += batch.nbytes
                if total > limit:
                    raise _bomb(path, limit)
    except (pyarrow.ArrowException, OSError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise DamagedError(f"{path} cannot be read: {reason:.200}", "load sound data") from None


def _claims(metadata: Any) -> list[int]:
    """Bytes of each row group, expanded, as the file says."""
    return [max(0, metadata.row_group(at).total_byte_size) for at in range(metadata.num_row_groups)]


def _bomb(path: Path, limit: int) -> DamagedError:
    return DamagedError(
        f"{path} expands to more than {limit >> 20:,} MB: no set of images does",
        "load it with a function of your own: --data file.py:function",
    )
