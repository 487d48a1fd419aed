"""Dataclasses as schemas: strict reading and writing of JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from autoprune.errors import DamagedError
from autoprune.foundation.schema import OUTSIDE, Stored


@dataclass(frozen=True)
class Part:
    number: int


@dataclass(frozen=True)
class Whole(Stored):
    name: str
    share: float
    kind: Literal["a", "b"] = "a"
    parts: tuple[Part, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    where: Path | None = None
    shown: bool = field(default=False, metadata=OUTSIDE)


WHOLE = Whole("x", 0.5, "b", (Part(1), Part(2)), {"error": 0.1}, Path("run"))


def test_what_is_written_reads_back():
    assert Whole.from_json(WHOLE.to_json()) == WHOLE
    assert "shown" not in WHOLE.to_json()
    assert Whole.from_json({"format": 1, "name": "x", "share": 1}) == Whole("x", 1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": 2}, "this version"),
        ({"other": 1}, "unknown field 'other'"),
        ({"shown": True}, "unknown field 'shown'"),
        ({"name": 1}, "name of the result has the wrong type"),
        ({"share": True}, "share of the result has the wrong type"),
        ({"kind": "c"}, "kind of the result has the wrong type"),
        ({"parts": [{"number": 1.0}]}, "number of parts of the result has the wrong type"),
        ({"parts": [{}]}, "parts of the result lacks the field 'number'"),
        ({"rates": {"error": "0.1"}}, "rates of the result has the wrong type"),
    ],
)
def test_anything_else_is_refused_by_name(change, named):
    with pytest.raises(DamagedError, match=named):
        Whole.from_json({**WHOLE.to_json(), **change})


def test_a_missing_field_is_refused():
    with pytest.raises(DamagedError, match="lacks the field 'share'"):
        Whole.from_json({"format": 1, "name": "x"})
