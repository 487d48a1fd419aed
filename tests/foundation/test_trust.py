"""Trust in user code."""

import pytest

from autoprune.errors import DamagedError
from autoprune.foundation import trust
from autoprune.foundation import user_code as factories
from autoprune.foundation.user_code import Factory


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "autoprune" / "trusted.jsonl"


@pytest.fixture
def factory(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def build(): return 1")
    return factories.load(f"{file}:build")[1]


def test_nothing_is_allowed_at_first(factory, store):
    with pytest.raises(DamagedError, match=r"was never named here.*trust_code=True"):
        trust.check(factory)
    assert not store.exists()


def test_what_was_named_is_allowed(factory, store):
    trust.allow(factory)
    trust.allow(factory)
    trust.check(factory)
    assert len(store.read_text().splitlines()) == 1


def test_a_changed_file_is_refused(factory, tmp_path):
    trust.allow(factory)
    (tmp_path / "mine.py").write_text("def build(): return 2")
    with pytest.raises(DamagedError, match="has changed"):
        trust.check(factory)
    (tmp_path / "mine.py").unlink()
    with pytest.raises(DamagedError, match="is gone"):
        trust.check(factory)


def test_a_record_cannot_borrow_the_trust_of_another(factory):
    trust.allow(factory)
    for name in ("os:system", "subprocess:call", factory.name.replace("build", "other")):
        with pytest.raises(DamagedError):
            trust.check(Factory(name, factory.path, factory.sha256))


def test_a_module_of_the_same_name_elsewhere_is_refused(tmp_path, monkeypatch):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for place in (mine, theirs):
        place.mkdir()
        (place / "nets_to_trust.py").write_text("def build(): return 1")
    monkeypatch.chdir(mine)
    path = factories.locate("nets_to_trust:build")
    record = Factory("nets_to_trust:build", str(path), factories.file_digest(path))
    trust.allow(record)
    trust.check(record)
    monkeypatch.chdir(theirs)
    with pytest.raises(DamagedError, match="is not what it was"):
        trust.check(record)


def test_a_damaged_store_allows_nothing_and_recovers(factory, store):
    trust.allow(factory)
    store.write_bytes(b"\xff\xfe not text\n")
    with pytest.raises(DamagedError):
        trust.check(factory)
    trust.allow(factory)
    trust.check(factory)


def test_a_store_that_cannot_be_written_is_no_error(factory, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    trust.allow(factory)
