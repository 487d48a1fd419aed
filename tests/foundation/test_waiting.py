from contextlib import contextmanager

from autoprune.foundation.files import digest, file_digest
from autoprune.foundation.waiting import MEGABYTE, heard_by, reading, waiting


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
    with heard_by(listener):
        with waiting("decode", 2, least=2) as told:
            told(1)
            told(1)
        with waiting("decode", 1, least=2) as told:
            told(1)
    with waiting("decode", 2, least=2) as told:
        told(2)
    assert listener.heard == [("decode", 2), 1, 1, "done"]


def test_bytes_are_told_as_megabytes_whatever_the_sizes_of_the_parts(tmp_path):
    listener, parts = Listener(), [1, MEGABYTE - 2, 1, 3 * MEGABYTE, MEGABYTE // 2]
    with heard_by(listener), reading("hash", sum(parts), least=MEGABYTE) as told:
        for part in parts:
            told(part)
    assert listener.heard == [("hash", 4), 0, 0, 1, 3, 0, "done"]


def test_a_file_that_is_hashed_tells_all_of_its_bytes(tmp_path):
    path, told = tmp_path / "file", []
    path.write_text("x" * (2 * MEGABYTE + 5))
    assert file_digest(path, told.append) == digest("x" * (2 * MEGABYTE + 5))
    assert sum(told) == 2 * MEGABYTE + 5 and len(told) == 3
