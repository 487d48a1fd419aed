"""A search that is stopped, and goes on where it was by the same call."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from digits import data, trained

import autoprune


class Crash(autoprune.Callback):
    """Raises at the tenth evaluation: a bug, a power cut, Ctrl-C."""

    broken = True

    def on_evaluation(self, trial: autoprune.Trial) -> None:
        """Raise, the first time."""
        if Crash.broken and trial.number == 10:
            Crash.broken = False
            raise RuntimeError("out of luck")


class Counting(autoprune.Callback):
    """Counts what is computed, and not only recalled."""

    def __init__(self) -> None:
        self.computed: list[int] = []

    def on_evaluation(self, trial: autoprune.Trial) -> None:
        """Count an evaluation."""
        if not trial.recalled:
            self.computed.append(trial.number)


def main(run: Path) -> tuple[autoprune.Result, list[int]]:
    """Search; continue when it breaks off. Return the result and what was computed then."""
    model, again = trained(), Counting()

    def search(callback: autoprune.Callback) -> autoprune.Result:
        return autoprune.search(
            model,
            data(),
            "0.5flops",
            searcher="evolution",
            evaluations=16,
            finetune_epochs=1,
            run=run,
            callbacks=[callback],
        )

    try:
        search(Crash())
    except autoprune.errors.UserCodeError as error:
        print(error)
    return search(again), again.computed


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        result, computed = main(Path(place) / "run")
        print(f"{result}; computed after the stop: {computed}")
