"""Structures made by hand, so that cost, budget, envs and agents are tested without any model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from hypothesis import strategies as st

from autoprune.cost.latency.table import Axis, Table, TableCost, monotone
from autoprune.structure.depth import deepened
from autoprune.structure.table import (
    VALUE,
    Branch,
    Extent,
    Group,
    Layer,
    Product,
    Removal,
    Slice,
    Structure,
    TensorInfo,
)


def units(name: str, times: int = 1) -> Extent:
    return Extent(0, ((name, times),))


def build(
    groups: dict[str, int], convolutions: list[tuple[str, Extent, Extent, int, int]]
) -> Structure:
    """Convolutions are (name, out, in, kernel, output positions), each with a bias."""
    tensors = [TensorInfo("steps", False, 8, ())]
    layers = []
    slices: dict[str, list[Slice]] = {name: [] for name in groups}
    for name, out, into, kernel, places in convolutions:
        weight = f"{name}.weight"
        tensors.append(TensorInfo(weight, True, 4, (out, into, Extent(kernel), Extent(kernel))))
        tensors.append(TensorInfo(f"{name}.bias", True, 4, (out,)))
        layers.append(Layer(name, "conv", weight, (Product(kernel**2 * places, (out, into)),)))
        for dim, role, extent in ((0, "out", out), (1, "in", into)):
            for group, times in extent.terms:
                index = torch.arange(groups[group] * times).reshape(groups[group], times)
                slices[group].append(Slice(weight, dim, role, index))
    return Structure(
        groups=tuple(
            Group(name, size, "linear" if index % 3 == 2 else "conv")
            for index, (name, size) in enumerate(groups.items())
        ),
        pinned=(),
        layers=tuple(layers),
        slices={name: tuple(found) for name, found in slices.items()},
        tensors=tuple(tensors),
        aliases={},
        widths={},
    )


def chain(widths: list[int], places: int = 64) -> Structure:
    groups = {f"c{i}": width for i, width in enumerate(widths)}
    extents = [Extent(3), *(units(name) for name in groups), Extent(10)]
    return build(
        groups,
        [
            (f"c{i}", out, into, 3, max(1, places >> i))
            for i, (into, out) in enumerate(pairwise(extents))
        ],
    )


def residual(inner: list[int], stream: int, places: int = 64) -> Structure:
    """Blocks stream -> inner -> stream, then a square convolution stream -> stream."""
    groups = {"stream": stream, **{f"inner{i}": width for i, width in enumerate(inner)}}
    convolutions = [("stem", units("stream"), Extent(3), 3, places)]
    for i in range(len(inner)):
        convolutions.append((f"a{i}", units(f"inner{i}"), units("stream"), 3, places))
        convolutions.append((f"b{i}", units("stream"), units(f"inner{i}"), 3, places))
    convolutions.append(("mix", units("stream"), units("stream"), 1, places))
    convolutions.append(("head", Extent(10), units("stream", 4), 1, 1))
    return build(groups, convolutions)


def stages(width: int, blocks: int) -> Structure:
    """Three stages of residual blocks, twice as wide and a quarter as many places each time."""
    groups, convolutions = {}, []
    for i in range(3):
        stream, before, places = f"s{i}", f"s{max(0, i - 1)}", 256 >> (2 * i)
        groups |= {name: width << i for name in (stream, *(f"{stream}b{j}" for j in range(blocks)))}
        if i == 0:
            convolutions.append(("stem", units(stream), Extent(3), 3, places))
        for j in range(blocks):
            inner, into = units(f"{stream}b{j}"), units(stream if j else before)
            convolutions.append((f"a{i}{j}", inner, into, 3, places))
            convolutions.append((f"b{i}{j}", units(stream), inner, 3, places))
        if i > 0:
            convolutions.append((f"shortcut{i}", units(stream), units(before), 1, places))
    convolutions.append(("head", Extent(10), units("s2"), 1, 1))
    return build(groups, convolutions)


def with_branches(inner: list[int], stream: int, *, nested: bool = False) -> Structure:
    """The blocks of ``residual`` as branches that may go; with ``nested``, the first two in one."""
    plain = residual(inner, stream)
    branches = []
    nested = nested and len(inner) > 1
    if nested:
        branches.append(_branch(plain, "outer", [0, 1], stream, ()))
    for i in range(len(inner)):
        outer = ("outer",) if nested and i < 2 else ()
        branches.append(_branch(plain, f"block{i}", [i], stream, outer))
    return deepened(replace(plain, branches=tuple(branches)))


def _branch(
    plain: Structure, name: str, blocks: list[int], stream: int, outer: tuple[str, ...]
) -> Branch:
    modules = tuple(f"{letter}{i}" for i in blocks for letter in "ab")
    return Branch(
        name=name,
        removal=Removal((name,), (VALUE,), 4, 1),
        size=stream,
        units=(("stream", torch.arange(stream).reshape(-1, 1)),),
        groups=tuple(f"inner{i}" for i in blocks),
        tensors=tuple(f"{module}.{end}" for module in modules for end in ("weight", "bias")),
        layers=tuple(n for n, layer in enumerate(plain.layers) if layer.module in modules),
        outer=outer,
        value=name,
    )


widths = st.lists(st.integers(1, 40), min_size=1, max_size=7)
structures = st.one_of(
    st.builds(chain, widths),
    st.builds(residual, widths, st.integers(1, 40)),
)
deep_structures = st.builds(with_branches, widths, st.integers(1, 40), nested=st.booleans())


def staircase(structure: Structure, seed: int) -> TableCost:
    """A made-up latency: steps and dips over the widths of every layer, made monotone."""
    random = np.random.default_rng(seed)
    sizes = np.array([group.size for group in structure.groups])
    names = [group.name for group in structure.groups]
    tables = []
    for layer in structure.layers:
        axes = []
        for extent in layer.macs[0].extents[:2]:
            times = [dict(extent.terms).get(group.name, 0) for group in structure.groups]
            last = extent.fixed + int(np.dot(times, sizes))
            knots = sorted({last, *random.integers(1, last + 1, 4).tolist()}) if any(times) else [1]
            axes.append(Axis(extent.fixed if any(times) else 1, tuple(times), tuple(knots)))
        shape = tuple(len(axis.knots) for axis in axes)
        slope = np.add.outer(*(np.array(axis.knots) * 50 for axis in axes))
        values = monotone(slope * random.uniform(0.5, 1.5, shape))
        within = tuple(names.index(one.terms[0][0]) for one in layer.within)
        tables.append(Table((axes[0], axes[1]), values, within))
    cost = TableCost.of(names, sizes, tables)
    plans = np.stack([np.maximum(1, sizes * part // 4) for part in (1, 2, 4)])
    return cost.calibrated(plans, cost.many(plans) * random.uniform(1.0, 2.0, 3))
