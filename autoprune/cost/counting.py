"""Costs that come with autoprune: MACs, parameters, bytes, energy, latency."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from autoprune.cost.energy import energy_products, joules
from autoprune.cost.kind import CostKind, Priced, Unit
from autoprune.structure.table import Product

FLOPS_PER_MAC: Final = 2
"""A multiply-add is a multiplication and an addition."""

_NANOSECONDS: Final = 10**6
"""Latency is counted in nanoseconds per sample."""


def _macs(network: Priced) -> Iterable[Product]:
    return (product for layer in network.structure.layers for product in layer.macs)


def _parameters(network: Priced) -> Iterable[Product]:
    return (Product(1, info.elements) for info in network.structure.tensors if info.is_parameter)


def _bytes(network: Priced) -> Iterable[Product]:
    return (Product(info.itemsize, info.elements) for info in network.structure.tensors)


def _energy(network: Priced) -> Iterable[Product]:
    layers, tensors = network.structure.layers, network.structure.tensors
    return energy_products(layers, tensors, network.table)


def _joules(femtojoules: float, digits: int) -> str:
    return joules(femtojoules)


def _milliseconds(value: float, digits: int) -> str:
    return f"{value:.{digits}g}ms"


def _nanoseconds(value: float, digits: int) -> str:
    return _milliseconds(value / _NANOSECONDS, digits)


MACS: Final = CostKind(
    "macs",
    (Unit("flops", ("flop",), Fraction(FLOPS_PER_MAC)), Unit("macs", ("mac",))),
    _macs,
)
"""Multiply-adds per sample: convolution, linear, recurrent and attention products, nothing else."""

PARAMETERS: Final = CostKind("parameters", (Unit("params", ("param", "parameters")),), _parameters)
"""Elements of all parameters, tied ones once."""

BYTES: Final = CostKind("bytes", (Unit("bytes", ("byte", "b"), symbol="B", bare=True),), _bytes)
"""Bytes of all parameters and buffers, tied ones once."""

ENERGY: Final = CostKind(
    "energy",
    (
        Unit(
            "energy",
            show=_joules,
            fraction_only="energy is a model by a table of prices, so only fractions mean"
            " something: 0.5energy",
        ),
    ),
    _energy,
)
"""Femtojoules per sample (:mod:`autoprune.cost.energy`)."""

LATENCY: Final = CostKind(
    "latency",
    (
        Unit(
            "latency",
            show=_nanoseconds,
            fraction_only="write a fraction, as 0.5latency, or milliseconds per sample, as 2ms",
        ),
        Unit("ms", scale=Fraction(1, _NANOSECONDS), show=_milliseconds, absolute=True),
    ),
    None,
    sparse=False,
)
"""Nanoseconds per sample, measured (:mod:`autoprune.cost.latency`)."""
