"""A search with progress and callbacks: one prints, one stops it when nothing gets better."""

from __future__ import annotations

import logging

from digits import data, trained

import autoprune


class Printing(autoprune.Callback):
    """Says what happens."""

    def on_evaluation(self, trial: autoprune.Trial) -> None:
        """Print an evaluation."""
        print(f"{trial.number}/{trial.evaluations}: loss {trial.loss:.3f}")

    def on_epoch(self, epoch: autoprune.Epoch) -> None:
        """Print an epoch of fine-tuning."""
        print(f"{epoch.training} {epoch.number}/{epoch.epochs}: loss {epoch.loss:.3f}")


class Patience(autoprune.Callback):
    """Ends a search when so many evaluations in a row were no better."""

    def __init__(self, patience: int) -> None:
        self.patience, self.since, self.best = patience, 0, float("inf")

    def on_evaluation(self, trial: autoprune.Trial) -> None:
        """Count the evaluations since the best."""
        self.since = 0 if trial.best_loss < self.best else self.since + 1
        self.best = trial.best_loss
        if self.since == self.patience:
            trial.stop(f"{self.patience} evaluations brought nothing")


def main() -> autoprune.Result:
    """Search, and show what was found."""
    logging.basicConfig()
    logging.getLogger("autoprune").setLevel(logging.INFO)
    result = autoprune.search(
        trained(),
        data(),
        "0.5flops",
        searcher="random",
        evaluations=40,
        finetune_epochs=2,
        callbacks=[Printing(), Patience(5)],
        timeout=60,
    )
    print(result)
    return result


if __name__ == "__main__":
    main()
