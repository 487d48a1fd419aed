"""A reward of one's own: an agent that is paid for scores above 90 % only."""

from __future__ import annotations

from digits import data, trained

import autoprune
from autoprune.testing import check_reward


def above(evaluation: autoprune.Evaluation) -> float:
    """Pay nothing up to a score of 0.9, ten for a perfect one; a little for a smaller loss."""
    return 100 * max(evaluation.score - 0.9, 0) - 0.01 * min(evaluation.loss, 100)


def main() -> autoprune.Result:
    """Let an agent learn by the reward."""
    check_reward(above)
    return autoprune.search(
        trained(),
        data(),
        "0.5flops",
        searcher="ddpg",
        reward=above,
        evaluations=15,
        finetune_epochs=1,
    )


if __name__ == "__main__":
    print(main())
