import pytest

from autoprune.errors import UsageError
from autoprune.foundation.libraries import needed


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "heavy_library.py"


def imported():
    with needed("heavy_library", "heavy", "loading x"):
        import heavy_library
    return heavy_library


def test_a_missing_library_is_named_with_what_installs_it():
    with pytest.raises(UsageError, match="heavy_library is not installed") as caught:
        imported()
    assert str(caught.value).startswith("loading x needs heavy_library: ")
    assert caught.value.hint == "pip install heavy"


@pytest.mark.parametrize(
    "source",
    [
        "import what_it_needs_and_is_missing",
        "raise RuntimeError('operator nms does not exist\\nmany more lines')",
        "raise OSError('libheavy.so: cannot open')",
        "try:\n  import libheavy\nexcept ImportError as e:\n  raise ImportError('no') from e",
    ],
)
def test_a_library_that_does_not_work_is_said_in_one_line(library, source):
    library.write_text(source, encoding="utf-8")
    with pytest.raises(UsageError, match="heavy_library does not work with what is") as caught:
        imported()
    assert "\n" not in str(caught.value)
    said = [word for word in ("what_it_needs", "nms", "libheavy") if word in str(caught.value)]
    assert len(said) == 1 and "pip install heavy" in caught.value.hint


def test_errors_of_another_kind_are_nobodys_installation(library):
    library.write_text("raise ValueError('ours')", encoding="utf-8")
    with pytest.raises(ValueError, match="ours"):
        imported()
