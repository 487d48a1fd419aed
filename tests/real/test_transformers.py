"""Networks of transformers, pruned to one half of every group."""

import pytest

from tests.real.checking import check, names

LIBRARY = "transformers"
pytestmark = pytest.mark.filterwarnings("ignore")  # those of the library are its own


@pytest.mark.parametrize("name", names(LIBRARY))
def test_one_half_of_every_group(name):
    check(LIBRARY, name)
