"""Conformance tests for plug-ins: searchers, rankings and rewards of other packages.

Each raises AssertionError with a line that says what is wrong. They need no test framework:

    from autoprune.testing import check_searcher

    def test_my_searcher() -> None:
        check_searcher(MySearcher)
"""

from autoprune.testing.rankings import check_ranking
from autoprune.testing.rewards import check_reward
from autoprune.testing.searchers import check_searcher
from autoprune.testing.toy import toy_network, toy_problem

__all__ = ["check_ranking", "check_reward", "check_searcher", "toy_network", "toy_problem"]
