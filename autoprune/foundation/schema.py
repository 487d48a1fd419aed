"""Dataclasses as schemas: strict reading and writing of JSON.

A value is accepted only if it has the type its field declares; unknown and missing fields are
refused by name. Hence what is read without an error needs no further checks of its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from autoprune.errors import DamagedError

OUTSIDE: Final = {"outside": True}
"""Metadata of a field that is not written: it does not change what the object means."""


def stored_as(key: str) -> dict[str, str]:
    """Metadata of a field whose key in JSON is another than its name: keys outlive names."""
    return {"stored": key}


def key_of(item: Field[Any]) -> str:
    """Key of a field in JSON."""
    return str(item.metadata.get("stored", item.name))


@dataclass(frozen=True)
class Stored:
    """Result of a command, as stored in ``result.json``: its fields and their format."""

    form: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object; format 1."""
        return {"format": self.form, **encode_fields(self)}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        if not isinstance(data, dict) or data.get("format") != cls.form:
            raise DamagedError("not a result this version knows", "use the version that wrote it")
        content = {name: value for name, value in data.items() if name != "format"}
        return cls(**decode_fields(cls, content, "the result"))


def written(cls: Any) -> list[Field[Any]]:
    """Return the fields of a dataclass that are part of its JSON."""
    return [one for one in fields(cls) if not one.metadata.get("outside")]


def encode_fields(instance: Any) -> dict[str, Any]:
    """Return the JSON-able form of a dataclass instance, field by field."""
    return {key_of(item): encode(getattr(instance, item.name)) for item in written(instance)}


def encode(value: Any) -> Any:
    """Return the JSON-able form of a field's value."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value):
        return encode_fields(value)
    if isinstance(value, Mapping):
        return {name: encode(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [encode(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def decode_fields(cls: type, data: object, what: str) -> dict[str, Any]:
    """Read the fields of a dataclass as :func:`encode_fields` wrote them; ``what`` names them.

    Raises DamagedError for an unknown or missing field or a value of another type.
    """
    if not isinstance(data, dict):
        raise DamagedError(f"{what} is not an object of fields")
    known = {key_of(item): item for item in written(cls)}
    for name in data.keys() - known.keys():
        raise DamagedError(
            f"{what} has an unknown field {name!r}", "another version wrote it, or it was edited"
        )
    for name, item in known.items():
        if name not in data and item.default is MISSING and item.default_factory is MISSING:
            raise DamagedError(f"{what} lacks the field {name!r}")
    hints = get_type_hints(cls)
    return {
        known[key].name: decode(hints[known[key].name], value, f"{key} of {what}")
        for key, value in data.items()
    }


def decode(hint: Any, value: Any, what: str) -> Any:
    """Read one value of a declared type.

    Raises DamagedError if it has another (an int may stand for a float, a bool for nothing else).
    """
    if hasattr(hint, "from_json"):
        return hint.from_json(value)
    if is_dataclass(hint) and isinstance(hint, type):
        return hint(**decode_fields(hint, value, what))
    origin, options = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return decode(options[0], value, what)
    if origin in (Union, UnionType):
        return _decode_union(options, value, what)
    if origin is Literal and value in options and type(value) is type(options[0]):
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(decode(options[0], entry, what) for entry in value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {name: decode(options[1], entry, what) for name, entry in value.items()}
    if hint is Path and type(value) is str:
        return Path(value)
    if type(value) is hint or (hint is float and type(value) is int):
        return value
    raise DamagedError(f"{what} has the wrong type: {value!r:.60}")


def _decode_union(options: tuple[Any, ...], value: Any, what: str) -> Any:
    if value is None and NoneType in options:
        return None
    (hint,) = (option for option in options if option is not NoneType)
    return decode(hint, value, what)
