"""Limits of a budget, and the grammar they are written in.

``number[k|M|G]unit``, several joined by commas (all must hold). Units: ``flops`` (2 x MACs),
``macs``, ``params``, ``bytes`` (also ``B``, as in ``2MB``), ``energy`` and ``latency`` (fractions
only), ``ms`` (milliseconds per sample, as in ``0.5ms``). Without a prefix the number is a fraction
of the dense model's cost, but for ``ms``. Case and spaces do not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from autoprune.cost.registry import units
from autoprune.errors import UsageError

_PREFIXES: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_NUMBER: Final = r"[-+]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:e[-+]?\d{1,2})?"
_HINT: Final = (
    "write 0.5flops, 60Mmacs, 0.3params, 2MB, 0.5energy, 0.5latency or 2ms; commas join several"
)


@dataclass(frozen=True)
class Limit:
    """One term of a budget: a fraction of the dense cost, or an absolute amount of ``unit``."""

    amount: Fraction
    unit: str
    relative: bool

    @property
    def cost(self) -> str:
        """Name of the limited cost in :data:`autoprune.cost.registry.COSTS`."""
        return units()[self.unit][0].name

    def bound(self, dense: int) -> int:
        """Largest integer cost within the limit; ``dense`` is the cost of keeping everything."""
        if self.relative:
            return int(self.amount * dense)
        return int(self.amount / self.scale)

    @property
    def scale(self) -> Fraction:
        """Factor from the cost to the unit: 2 from MACs to flops, a millionth from ns to ms."""
        return units()[self.unit][1].scale

    def __str__(self) -> str:
        if self.relative:
            return f"{float(self.amount):g}{self.unit}"
        return amount(self.amount, self.unit, digits=12)


def amount(value: Fraction | int, unit: str, digits: int = 4) -> str:
    """Write an absolute amount of a unit, as the grammar reads it where it takes the unit."""
    _, known = units()[unit]
    if known.show is not None:
        return known.show(float(value), digits)
    prefix, scale = next(
        ((p, s) for p, s in (("G", 10**9), ("M", 10**6)) if value >= s), ("k", 10**3)
    )
    return f"{float(Fraction(value) / scale):.{digits}g}{prefix}{known.symbol or unit}"


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Read limits joined by commas; raise UsageError for anything that is not in the grammar."""
    if not isinstance(text, str):
        raise UsageError(f"a budget is text with a unit, not {text!r}", _HINT)
    return tuple(_limit(term.strip()) for term in text.split(","))


def _limit(term: str) -> Limit:
    known = units()
    words = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    match = re.fullmatch(rf"({_NUMBER})\s*([kmg]?)\s*({words})", term, re.IGNORECASE)
    if match is None:
        raise UsageError(f"cannot read the budget {term!r}", _explain(term))
    value, prefix = Fraction(match[1]), match[2].lower()
    _, unit = known[match[3].lower()]
    if value <= 0:
        raise UsageError(f"the budget {term!r} must be above 0", _HINT)
    if unit.fraction_only and (prefix or value > 1):
        raise UsageError(
            f"the budget {term!r} is no fraction of the dense {unit.name}", unit.fraction_only
        )
    if unit.absolute and prefix:
        raise UsageError(f"cannot read the budget {term!r}", _HINT)
    relative = not (prefix or unit.absolute) and (value <= 1 or not unit.bare)
    if relative and value > 1:
        mega = f"{float(value):g}M" if value < 1000 else f"{float(value / 10**6):g}M"
        raise UsageError(
            f"the budget {term!r} is a fraction over 1", f"at most 1, or write {mega}{unit.name}"
        )
    return Limit(value * _PREFIXES[prefix], unit.name, relative)


def _explain(term: str) -> str:
    number = re.match(r"[-+]?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf(?:inity)?)", term, re.IGNORECASE)
    if number is None or number[0].strip("+-")[0] in "niNI":
        return f"it must start with a finite number; {_HINT}"
    unit = term[number.end() :].strip()
    if not unit:
        return f"a unit is missing; {_HINT}"
    if unit.lower() in units():
        return f"{number[0]} is malformed or out of range; {_HINT}"
    return f"unknown unit {unit!r}; {_HINT}"
