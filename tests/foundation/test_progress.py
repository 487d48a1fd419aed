from contextlib import contextmanager

from autoprune.foundation.files import digest, file_digest
from autoprune.foundation.progress import MEGABYTE, Silent, shown_by, slow_phase, slow_read


class Listener:
    def __init__(self):
        self.heard = []

    @contextmanager
    def __call__(self, name, total):
        self.heard.append((name, total))
        yield self
        self.heard.append("done")

    def advance(self, steps):
        self.heard.append(steps)


def test_long_work_is_heard_of_and_short_work_and_work_outside_are_not():
    listener = Listener()
    with shown_by(listener):
        with slow_phase("decode", 2, least=2) as advance:
            advance(1)
            advance(1)
        with slow_phase("decode", 1, least=2) as advance:
            advance(1)
    with slow_phase("decode", 2, least=2) as advance:
        advance(2)
    assert listener.heard == [("decode", 2), 1, 1, "done"]
    with shown_by(listener, short_too=True), slow_phase("decode", 1, least=2) as advance:
        advance(1)
    assert listener.heard[4:] == [("decode", 1), 1, "done"]


def test_silence(capsys):
    with Silent().phase("search", 2) as phase:
        phase.advance(best=0.1)
    Silent().note("nothing")
    assert capsys.readouterr() == ("", "")


def test_bytes_are_told_as_megabytes_whatever_the_sizes_of_the_parts(tmp_path):
    listener, parts = Listener(), [1, MEGABYTE - 2, 1, 3 * MEGABYTE, MEGABYTE // 2]
    with shown_by(listener), slow_read("hash", sum(parts), least=MEGABYTE) as advance:
        for part in parts:
            advance(part)
    assert listener.heard == [("hash", 4), 0, 0, 1, 3, 0, "done"]


def test_a_file_that_is_hashed_tells_all_of_its_bytes(tmp_path):
    path, told = tmp_path / "file", []
    path.write_text("x" * (2 * MEGABYTE + 5))
    assert file_digest(path, told.append) == digest("x" * (2 * MEGABYTE + 5))
    assert sum(told) == 2 * MEGABYTE + 5 and len(told) == 3
