"""Kinds of costs that a budget can limit, and the units it is written in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from autoprune.cost.energy import EnergyTable
from autoprune.structure.table import Product, Structure


class Priced(Protocol):
    """A network whose costs are counted, and the prices that energy goes by."""

    @property
    def structure(self) -> Structure:
        """Structure of the network's tensors."""

    @property
    def table(self) -> EnergyTable:
        """Energy of operations and memory accesses."""


@dataclass(frozen=True)
class Unit:
    """A unit of a cost in the grammar of budgets.

    ``words``: other spellings; ``scale``: units per one of the cost (2 flops per MAC);
    ``symbol``: what follows a prefix, the name if empty; ``show``: text of an amount, where k, M
    and G do not suit it. ``fraction_only``: why absolute amounts mean nothing, empty where they
    do. ``absolute``: never a fraction, and takes no prefix. ``bare``: numbers over 1 without a
    prefix are amounts.
    """

    name: str
    words: tuple[str, ...] = ()
    scale: Fraction = Fraction(1)
    symbol: str = ""
    show: Callable[[float, int], str] | None = None
    fraction_only: str = ""
    absolute: bool = False
    bare: bool = False


@dataclass(frozen=True)
class CostKind:
    """A cost that budgets can limit, as an integer for every plan.

    ``products``: terms whose sum it is, None where it is measured and comes as tables.
    ``sparse``: whether masks lower it, not only smaller tensors.
    """

    name: str
    units: tuple[Unit, ...]
    products: Callable[[Priced], Iterable[Product]] | None
    sparse: bool = True
