"""Cache of measured times."""

from pathlib import Path

import pytest

from autoprune.cost.latency.cache import Times, machine
from tests.timed_net import CPU


def cache_of(on):
    times = Times(on)
    times.add("some operation", 12.5)
    times.save()
    return times.path


def test_a_cache_of_another_machine_is_ignored_and_said_so():
    on = machine(CPU, "torch")
    path = cache_of({**on, "device": "cpu: another"})
    path.rename(Times(on).path)
    times = Times(on)
    assert times.get("some operation") is None
    assert len(times.notes) == 1 and "another machine" in times.notes[0]
    times.add("some operation", 3.0)
    times.save()
    assert Times(on).get("some operation") == 3.0 and len(times.notes) == 1
    Times(on).path.unlink()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": 1}',
        '{"format": 1, "on": {}, "times": {"a": "x"}}',
        '{"format": 1, "on": {}, "times": {"a": -1}}',
        '{"format": 1, "on": {}, "times": {"a": NaN}}',
        '{"format": 2, "on": {}, "times": {}}',
    ],
)
def test_a_damaged_cache_is_named_once_and_replaced(content):
    on = {"device": f"cpu: {content}"}
    path = cache_of(on)
    Path(path).write_text(content)
    times = Times(on)
    assert times.get("some operation") is None
    times.add("b", 2.0)
    times.save()
    assert [("damaged" in note, str(path) in note) for note in times.notes] == [(True, True)]
    assert Times(on).get("b") == 2.0 and not Times(on).notes


def test_a_changed_time_is_noticed():
    on = {"device": "cpu: changed"}
    path = cache_of(on)
    path.write_text(path.read_text().replace("12.5", "12.4"))
    times = Times(on)
    assert times.get("some operation") is None
    assert "damaged" in times.notes[0]


def test_a_cache_that_cannot_be_written_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    times = Times({"device": "cpu"})
    times.add("a", 1.0)
    times.save()
    assert times.get("a") == 1.0
