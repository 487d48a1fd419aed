"""A problem posed, and searched by a sampler of Optuna: the plug-in of optuna_searcher, by name.

Needs `pip install 'autoprune[optuna]' ./examples/optuna_searcher`.
"""

from __future__ import annotations

from digits import accuracy, data, trained

import autoprune


def main() -> tuple[autoprune.Ledger, float]:
    """Pose, search, and build the best; return what was spent and its accuracy."""
    problem = autoprune.pose(trained(), data(), "0.5flops")
    ledger = problem.search("optuna-tpe", evaluations=12)
    best = min(ledger.history, key=lambda record: record.evaluation.loss)
    return ledger, accuracy(problem.network(best.plan))


if __name__ == "__main__":
    print(*main())
