"""Registry of searchers."""

import pytest

from autoprune.agents.registry import searcher
from autoprune.errors import UsageError


def test_an_unknown_agent_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown agent 'dqn'.*ddpg, ppo"):
        searcher("dqn")
