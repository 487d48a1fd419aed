"""Files and JSON: strict reading, atomic replacement."""

import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprune.errors import AutopruneError, DamagedError
from autoprune.foundation.files import (
    canonical,
    parse,
    pretty,
    read_json,
    replace_text,
    stage,
    text_writer,
)
from tests.full_disk import room_for

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_survives_both_ways_of_writing(value):
    assert parse(canonical(value), "it") == value
    assert parse(pretty(value), "it") == value


@given(st.dictionaries(st.text(), st.integers() | st.lists(st.text())))
def test_canonical_json_does_not_depend_on_order(data):
    assert canonical(data) == canonical(dict(reversed(data.items())))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_not_written(value):
    for write in (canonical, pretty):
        with pytest.raises(ValueError, match="JSON"):
            write({"x": [value]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nan",
        "NaN",
        '{"x": NaN}',
        "[Infinity]",
        "[-Infinity]",
        "[1e999]",
        '{"x": 1, "x": 2}',
        '{"a": {"x": 1, "x": 1}}',
        "[" * 10**5,
        '{"a":' * 10**5,
        "1" * 10**4,
        "'x'",
        "{x: 1}",
        "[1,]",
        '"\x01"',
        "__import__('os')",
    ],
)
def test_json_of_strangers_is_refused_in_one_line(text):
    with pytest.raises(DamagedError, match=r"^x\.json[^\n]*$"):
        parse(text, "x.json")


def test_files_of_strangers_are_refused_by_name(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(DamagedError, match=r"x\.json is missing"):
        read_json(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DamagedError, match="not a text file"):
        read_json(path)
    with path.open("wb") as stream:  # sparse: costs no disk, and must cost no memory
        stream.truncate(2**40)
    with pytest.raises(DamagedError, match="larger than any file of ours"):
        read_json(path)


def test_replacing_leaves_only_the_new_content(tmp_path):
    path = tmp_path / "x"
    for text in ("one", "twö\r\n"):
        replace_text(path, text)
        assert path.read_bytes() == text.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_content_and_no_rubbish(tmp_path):
    path = tmp_path / "x"
    replace_text(path, "old")
    with room_for(100), pytest.raises(AutopruneError, match=r"cannot write .*x"):
        replace_text(path, "new" * 100)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def fails(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path / "x", fails)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(AutopruneError, match="no such file or directory"):
        stage(tmp_path / "nowhere" / "x", text_writer(json.dumps(1)))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_itself_is_damage(tmp_path):
    (tmp_path / "x.json").symlink_to("x.json")
    with pytest.raises(DamagedError, match="link to itself"):
        read_json(tmp_path / "x.json")
