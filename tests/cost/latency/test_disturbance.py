import multiprocessing
import time

import pytest

from autoprune.cost.latency.disturbance import busy_seconds, spoiled, watched


def test_threads_that_others_leave_no_core_for_are_said():
    assert spoiled(1, 2, 5.0) == spoiled(2, 2, 0.4) == spoiled(2, 4, 2.0) == []
    (text,) = spoiled(2, 2, 1.1)
    assert "1.1 of 2 cores" in text and "--threads 1" in text


def _work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.skipif(busy_seconds() is None, reason="the system does not tell how busy it is")
def test_work_that_is_done_counts():
    before = busy_seconds()
    _work(0.3)
    assert busy_seconds() - before > 0.2
    notes: list[str] = []
    other = multiprocessing.get_context("fork").Process(target=_work, args=(0.6,))
    with watched(10**6, notes):
        other.start()
        other.join()
    assert len(notes) == 1 and "while times of 1000000 threads were taken" in notes[0]


def test_a_system_that_does_not_tell_is_no_reason_to_fail(tmp_path):
    assert busy_seconds(tmp_path / "nothing") is None
    for text in ("", "cpu\n", "cpu one two\n"):
        (tmp_path / "stat").write_text(text)
        assert busy_seconds(tmp_path / "stat") is None
