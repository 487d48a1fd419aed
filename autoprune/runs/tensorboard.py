"""TensorBoard files of a run: scalars by step and pictures, with errors that name the file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprune.foundation.closing import Closing
from autoprune.foundation.files import writing
from autoprune.foundation.signals import shielded

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Events(Closing):
    """An event file, open for writing; use it as a context manager.

    A continued run replays its journal: with ``purge``, its curves replace those written before.
    Every method raises AutopruneError when the file cannot be written. All are shielded from
    signals: a message to the thread that writes must not be cut in half.
    """

    def __init__(self, path: Path, *, purge: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = path / "events.out.tfevents"
        # The thread that writes passes its error on to the next call: no need to print it as well.
        self._hook, threading.excepthook = threading.excepthook, _passed_on
        try:
            with shielded(), writing(self._path):
                self._writer = SummaryWriter(str(path), purge_step=0 if purge else None)
        except BaseException:
            threading.excepthook = self._hook
            raise

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Write one point of a curve."""
        with shielded(), writing(self._path):
            self._writer.add_scalar(tag, value, step)

    def add_hparams(self, config: Mapping[str, Any], measures: Mapping[str, float]) -> None:
        """Write hyper-parameters and their measures."""
        with shielded(), writing(self._path):
            self._writer.add_hparams(dict(config), dict(measures), run_name=".")

    def add_figure(self, tag: str, figure: Figure) -> None:
        """Write a picture."""
        with shielded(), writing(self._path):
            self._writer.add_figure(tag, figure, close=False)

    def flush(self) -> None:
        """Return when everything is in the file."""
        with shielded(), writing(self._path):
            self._writer.flush()

    def close(self) -> None:
        """Write the remaining points and close the file."""
        try:
            with shielded(), writing(self._path):
                self._writer.close()
        finally:
            threading.excepthook = self._hook


def _passed_on(arguments: threading.ExceptHookArgs) -> None:
    if not isinstance(arguments.exc_value, OSError):
        threading.__excepthook__(arguments)
