"""Energy of one inference, from prices of operations and memory accesses and their counts.

The prices are those of a 45 nm process (Horowitz, "Computing's energy problem", ISSCC 2014, as used
by Han et al. 2015 and Yang et al. 2017): picojoules per 32-bit operation or 32-bit access. The
count is an exact polynomial of the group sizes, so energy budgets are met like any other. The
assumptions are listed in ``ASSUMPTIONS`` and printed with every energy; it is a model, not a
measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, Self

from autoprune.errors import UsageError
from autoprune.foundation.files import read_json
from autoprune.structure.table import Layer, Product, TensorInfo

UNITS_PER_PICOJOULE: Final = 1000
"""Costs are integers: femtojoules."""

WORD: Final = 4
"""Bytes that one memory access moves."""

REGISTERS_PER_MAC: Final = 4
"""Register-file accesses: read weight, input and partial sum, write the partial sum."""

DEAREST: Final = 1e6
"""Largest price in picojoules: sums stay far inside 64-bit integers."""

ASSUMPTIONS: Final = (
    "one sample at a time; convolution, linear, recurrent and attention products only",
    "each MAC is one multiplication, one addition and 4 register-file accesses",
    "each weight and buffer comes from DRAM once and passes the on-chip SRAM once",
    "activations stay on chip: each layer reads its input from SRAM and writes its output there",
    "the state of a recurrent layer stays in its registers",
    "memory is paid by the 32-bit word; activations are 32 bits wide",
)

Arithmetic = Literal["float", "int"]


@dataclass(frozen=True)
class EnergyTable:
    """Prices in picojoules: of a 32-bit operation, or of moving 32 bits at a level of memory."""

    int_add: float = 0.1
    float_add: float = 0.9
    int_mult: float = 3.1
    float_mult: float = 3.7
    register: float = 1.0
    sram: float = 5.0
    dram: float = 640.0
    arithmetic: Arithmetic = "float"

    def __post_init__(self) -> None:
        if self.arithmetic not in ("float", "int"):
            raise UsageError(f"arithmetic is float or int, not {self.arithmetic!r}")
        for name in PRICES:
            price = getattr(self, name)
            sound = isinstance(price, (int, float)) and not isinstance(price, bool)
            if not sound or not (math.isfinite(price) and 0 <= price <= DEAREST):
                raise UsageError(
                    f"the energy of {name} must be a number of picojoules from 0 to {DEAREST:g},"
                    f" not {price!r}"
                )
        if not self.mac + self.activation + self.weight(WORD):
            raise UsageError("a table of zeros gives no energy", "name at least one price")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read prices from a JSON object; missing ones keep their default.

        Raises UsageError for prices that are unknown or make no sense, DamagedError for a file
        that is not JSON.
        """
        data = read_json(Path(path))
        known = [item.name for item in fields(cls)]
        if not isinstance(data, dict) or not data.keys() <= set(known):
            raise UsageError(f"{path} is not an object with some of {', '.join(known)}")
        return cls(**data)

    @property
    def mac(self) -> int:
        """Femtojoules of one multiply-add and its register-file accesses."""
        add, mult = (getattr(self, f"{self.arithmetic}_{what}") for what in ("add", "mult"))
        return _femto(add + mult + REGISTERS_PER_MAC * self.register)

    @property
    def activation(self) -> int:
        """Femtojoules of one activation read or written by a layer."""
        return _femto(self.sram)

    def weight(self, itemsize: int) -> int:
        """Femtojoules of fetching one element of a parameter or buffer, ``itemsize`` bytes."""
        return _femto((self.dram + self.sram) * itemsize / WORD)

    def lines(self) -> tuple[str, ...]:
        """Return the prices and the assumptions as lines of text."""
        kind = self.arithmetic
        add, mult = getattr(self, f"{kind}_add"), getattr(self, f"{kind}_mult")
        return (
            f"pJ per 32 bits: {kind} add {add:g}, {kind} mult {mult:g}, register file"
            f" {self.register:g}, SRAM {self.sram:g}, DRAM {self.dram:g}",
            *ASSUMPTIONS,
        )


PRICES: Final = tuple(item.name for item in fields(EnergyTable) if item.name != "arithmetic")


def energy_products(
    layers: Iterable[Layer], tensors: Iterable[TensorInfo], table: EnergyTable
) -> Iterator[Product]:
    """Yield the energy of layers and of the tensors they fetch, in femtojoules per sample."""
    for layer in layers:
        for product in layer.macs:
            yield Product(product.factor * table.mac, product.extents)
        for extent in (layer.reads, layer.writes):
            yield Product(table.activation, (extent, *layer.within))
    for info in tensors:
        if info.shape:  # inference reads no counter
            yield Product(table.weight(info.itemsize), info.elements)


def joules(femtojoules: float) -> str:
    """Write an energy with a prefix: ``1.23 mJ``."""
    for factor, unit in ((1e15, "J"), (1e12, "mJ"), (1e9, "uJ"), (1e6, "nJ")):
        if femtojoules >= factor:
            return f"{femtojoules / factor:.4g} {unit}"
    return f"{femtojoules / 1000:.4g} pJ"


def _femto(picojoules: float) -> int:
    return round(picojoules * UNITS_PER_PICOJOULE)
