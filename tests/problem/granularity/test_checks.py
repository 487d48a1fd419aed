"""Checks of a granularity against a ranking."""

import pytest

from autoprune.errors import UsageError
from autoprune.problem.granularity.checks import check_ranking
from autoprune.problem.granularity.parse import Granularity


def test_rankings_belong_to_what_they_rank():
    check_ranking(Granularity.parse("2:4"), "l1")
    with pytest.raises(UsageError, match="'bn-scale' orders no single weights"):
        check_ranking(Granularity.parse("weight"), "bn-scale")
    check_ranking(Granularity.parse("channel"), "bn-scale")
