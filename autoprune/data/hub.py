"""Data sets by their name on the Hugging Face hub, or as files in its layout."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from autoprune.errors import UsageError
from autoprune.foundation.libraries import needed

PATIENCE: Final = 3.0
"""Seconds without an answer after which the hub counts as out of reach."""

_HINT: Final = "a directory that exists works offline; the hub needs its exact name and a network"


def from_hub(name: str) -> Mapping[str, Any]:
    """Return the splits of a data set of the hub; from its local cache where there is no network.

    Raises UsageError if it cannot be had.
    """
    datasets = _library(name)
    if _answers(name):
        return _load(datasets, name)
    with _offline(datasets):
        try:
            return _load(datasets, name)
        except UsageError:
            raise UsageError(
                f"cannot load {name}: the hub is out of reach, and it is not in the local cache",
                _HINT,
            ) from None


def from_files(path: str, scratch: str) -> Mapping[str, Any]:
    """Return the splits that files in the layout of the hub hold; a file of parquet is ``train``.

    ``scratch`` is a directory that must last as long as they.

    Raises UsageError if they cannot be read.
    """
    if path.endswith(".parquet"):
        return _load(_library(path), "parquet", data_files=path, cache_dir=scratch)
    return _load(_library(path), path, cache_dir=scratch)


def from_saved(path: str) -> Mapping[str, Any]:
    """Return the splits of a directory that ``save_to_disk`` wrote; a data set alone is ``train``.

    Raises UsageError if it cannot be read.
    """
    datasets = _library(path)
    with _quiet(datasets):
        try:
            found = datasets.load_from_disk(path)
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UsageError(f"cannot load {path}: {reason}", "save it again") from error
    return dict(found) if isinstance(found, datasets.DatasetDict) else {"train": found}


def _library(name: str) -> Any:
    with needed("datasets", "'autoprune[data]'", f"loading {name}"):
        import datasets
    return datasets


def _load(datasets: Any, name: str, **options: Any) -> Mapping[str, Any]:
    with _quiet(datasets):
        try:
            return dict(datasets.load_dataset(name, **options))
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UsageError(f"cannot load {name}: {reason}", _HINT) from error


def _answers(name: str) -> bool:
    """Ask the hub for a data set once; the library would ask six times, with growing pauses."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=PATIENCE)
    except HfHubHTTPError:
        return True  # it said no: the library knows why
    except Exception:
        return False
    return True


@contextmanager
def _offline(datasets: Any) -> Iterator[None]:
    from huggingface_hub import constants

    configs: tuple[Any, ...] = (constants, datasets.config)
    before = [config.HF_HUB_OFFLINE for config in configs]
    for config in configs:
        config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for config, value in zip(configs, before, strict=True):
            config.HF_HUB_OFFLINE = value


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """No progress bars and no log of retries while the library works."""
    hidden = datasets.are_progress_bars_disabled()
    log = logging.getLogger("huggingface_hub")
    level = log.level
    datasets.disable_progress_bars()
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
        if not hidden:
            datasets.enable_progress_bars()
