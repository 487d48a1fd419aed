"""Journal: torn, damaged and delayed lines."""

import os
import random
from contextlib import nullcontext

import pytest

from autoprune.errors import AutopruneError, DamagedError
from autoprune.foundation.files import canonical, digest
from autoprune.runs.journal import Journal, JournalConfig, read_journal
from tests.full_disk import room_for

RECORDS = [{"plan": {"conv1": k, "fc": 8 - k}, "score": k / 7, "loss": 0.1 * k} for k in range(6)]


def write(path, records):
    journal = Journal(path)
    for record in records:
        journal.append(record)
    journal.close()
    return path.read_bytes()


def test_what_is_appended_is_read_in_order_across_openings(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    write(path, RECORDS[:2])
    write(path, RECORDS[2:])
    assert read_journal(path) == RECORDS


def test_interrupted_and_uninterrupted_journals_are_the_same_bytes(tmp_path):
    whole = write(tmp_path / "evaluations.jsonl", RECORDS)
    (tmp_path / "b").mkdir()
    for records in (RECORDS[:1], RECORDS[1:4], [], RECORDS[4:]):
        parts = write(tmp_path / "b" / "evaluations.jsonl", records)
    assert parts == whole


def test_a_torn_tail_is_cut_at_every_byte_and_the_end_is_the_same(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    whole = write(path, RECORDS[:2])
    kept = len(write_prefix(tmp_path, RECORDS[:1]))
    for size in range(kept, len(whole)):
        path.write_bytes(whole[:size])
        assert read_journal(path) == RECORDS[:1]
        assert path.stat().st_size == size, "reading must not write"
        assert write(path, RECORDS[1:2]) == whole


def test_a_header_torn_at_every_byte_starts_the_journal_anew(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    header = write(path, [])
    for size in range(len(header)):
        path.write_bytes(header[:size])
        assert write(path, []) == header


def write_prefix(tmp_path, records):
    (tmp_path / "prefix").mkdir()
    return write(tmp_path / "prefix" / "evaluations.jsonl", records)


def test_no_flipped_bit_is_read_as_data(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    whole = write(path, RECORDS[:3])
    for bit in range(0, 8 * len(whole), 7):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        # Only the last newline can go unnoticed: then the last line counts as torn.
        torn = bit // 8 == len(whole) - 1
        with nullcontext() if torn else pytest.raises(DamagedError, match=r"line|format"):
            assert read_journal(path) == RECORDS[:2]


def test_removed_repeated_and_reordered_lines_are_noticed(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    lines = write(path, RECORDS).splitlines(keepends=True)
    shuffled = lines[:1] + random.Random(0).sample(lines[1:], len(lines) - 1)
    for changed in (lines[:2] + lines[3:], lines[:3] + lines[2:], shuffled, lines[1:]):
        path.write_bytes(b"".join(changed))
        with pytest.raises(DamagedError, match=r"line [1-4] of"):
            read_journal(path)


def test_a_damaged_line_is_named_and_the_file_left_alone(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    lines = write(path, RECORDS).splitlines(keepends=True)
    lines[3] = lines[3].replace(b"conv1", b"conv2")
    path.write_bytes(b"".join(lines))
    with pytest.raises(DamagedError, match=r"line 4 of .* not what was written") as caught:
        Journal(path)
    assert "--fresh" in caught.value.hint
    assert path.read_bytes() == b"".join(lines)


def test_a_journal_of_another_format_is_refused(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    write(path, [])
    header = {"format": 99, "journal": "evaluations"}
    check = digest(canonical(header))[:16]
    path.write_text(canonical({**header, "check": check}) + "\n")
    with pytest.raises(DamagedError, match="format"):
        read_journal(path)


def test_a_number_that_is_none_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    journal = Journal(path)
    with pytest.raises(ValueError, match="JSON"):
        journal.append({"score": float("nan")})
    journal.append(RECORDS[0])
    journal.close()
    assert read_journal(path) == journal.records == RECORDS[:1]


def test_a_full_disk_leaves_the_journal_as_it_was_and_usable(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    journal = Journal(path)
    journal.append(RECORDS[0])
    before = path.read_bytes()
    with room_for(len(before) + 20), pytest.raises(AutopruneError, match="cannot write"):
        journal.append(RECORDS[1])
    assert path.read_bytes() == before
    journal.append(RECORDS[1])
    journal.close()
    assert read_journal(path) == RECORDS[:2]


def test_a_line_longer_than_any_of_ours_is_refused_without_being_read(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    whole = write(path, RECORDS[:1])
    short = JournalConfig(max_line=200)
    assert read_journal(path, short) == RECORDS[:1]
    for tail in (b"x" * 500, b"x" * 500 + b"\n"):
        path.write_bytes(whole + tail)
        with pytest.raises(DamagedError, match=r"line 3 of .* too long"):
            Journal(path, short)
        assert path.read_bytes() == whole + tail


def test_syncing_takes_a_small_part_of_the_time_and_nothing_stays_unsynced(tmp_path, monkeypatch):
    now, synced = [0.0], []

    def fsync(handle):
        synced.append(os.fstat(handle).st_size)
        now[0] += 1.0

    monkeypatch.setattr("autoprune.runs.journal.os.fsync", fsync)
    journal = Journal(tmp_path / "evaluations.jsonl", clock=lambda: now[0])
    journal.append(RECORDS[0])
    assert synced[-1] == os.stat(tmp_path / "evaluations.jsonl").st_size
    now[0] += 10_000.0
    synced.clear()
    for record in RECORDS[1:5]:
        now[0] += 200.0
        journal.append(record, later=True)
    assert len(synced) == 2  # 1 s every 500 s: the first and the last of four lines 200 s apart
    journal.append(RECORDS[5], later=True)
    journal.close()
    assert synced[-1] == (tmp_path / "evaluations.jsonl").stat().st_size
    assert read_journal(tmp_path / "evaluations.jsonl") == RECORDS


def test_a_journal_says_whose_it_is_as_soon_as_that_is_known(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    owner = ["unknown"]
    journal = Journal(path, owner=lambda: owner[0])
    assert path.read_bytes() == b""
    assert journal.belongs_to("anybody")
    owner[0] = "me"
    journal.append(RECORDS[0])
    journal.close()
    again = Journal(path, owner=lambda: "not asked")
    assert (again.run, again.records) == ("me", RECORDS[:1])
    assert again.belongs_to("me")
    assert not again.belongs_to("you")
    assert not again.belongs_to(None)
    again.close()


def test_a_journal_of_no_known_run_belongs_to_those_that_have_no_name(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    write(path, RECORDS[:1])
    journal = Journal(path)
    assert journal.belongs_to(None)
    assert not journal.belongs_to("me")
    journal.close()


def test_a_fork_cannot_write(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "evaluations.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(AutopruneError, match="fork"):
            journal.append(RECORDS[0])
    journal.close()
