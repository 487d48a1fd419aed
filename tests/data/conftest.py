"""A few rendered lines of text."""

import pytest

from autoprune.data.lines import lines


@pytest.fixture(scope="session")
def few(tmp_path_factory):
    """The first lines of ``ocr-lines``, divided by two seeds."""
    counts = {"train": 60, "test": 20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return lines(0, counts), lines(1, counts)
