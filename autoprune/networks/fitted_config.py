"""Configurations of transformers that describe a pruned network: its sizes, solved for.

Which sizes of tensors follow which option of a configuration is found out by doubling each option
and building the model without memory (device ``meta``), so no table of architectures is needed. An
option then takes the value by which all sizes that follow it are those of the pruned network. Sizes
inside a head stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import torch
from torch import Tensor, nn

from autoprune.networks.dropped_blocks import Uneven, without_gone_blocks

OPTIONAL: Final = ("head_dim", "n_inner", "intermediate_size", "num_key_value_heads")
"""Options that configurations may leave out; then the size follows another one."""

INSIDE: Final = ("head_dim", "d_kv", "head_size", "attention_head_size")
"""Options for what lies inside a head, which no plan changes."""

Options = Mapping[str, Any]
Place = tuple[str, int]
"""Name of a tensor, and one of its dimensions."""


class Builder:
    """Shapes of the model that options describe."""

    def __init__(self, model: Any) -> None:
        self.kind, self.config = type(model), type(model.config)

    def shapes(self, options: Options) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor by name; nothing for options that make no sense."""
        try:
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                made: nn.Module = self.kind(self.config.from_dict(dict(options)))
        except Exception:  # whatever sizes that do not go together provoke
            return {}
        return shapes_of(made.state_dict())

    def build(self, options: Options, state: Mapping[str, Tensor]) -> nn.Module:
        """Return the model in evaluation mode, with these weights."""
        with torch.random.fork_rng(devices=[]):
            made: nn.Module = self.kind(self.config.from_dict(dict(options)))
        first = next(iter(state.values()))
        made.to(first.device, first.dtype).load_state_dict(dict(state))
        return made.eval()


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by name."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def fitted(model: Any) -> Iterator[nn.Module]:
    """Yield models whose configurations alone say the sizes of a pruned one, with its weights.

    They differ in the number of heads where no tensor shows it: only one computes the same.
    Raises Uneven, which says why, if no configuration gives such sizes.
    """
    builder = Builder(model)
    dense = builder.shapes(model.config.to_dict())
    options, state = without_gone_blocks(model, builder.shapes)
    wanted = shapes_of(state)
    start = _explicit(builder, options, {k: v for k, v in dense.items() if k in wanted})
    options = start | _solved(builder, start, wanted)
    found = builder.shapes(options)
    for name, shape in wanted.items():
        if found.get(name) != shape:
            raise Uneven(f"no option gives {name} the shape {list(shape)}")
    if found.keys() != wanted.keys():
        raise Uneven(f"{min(found.keys() - wanted.keys())} is gone")
    for heads in _unseen_heads(builder, start, options):
        if builder.shapes(options | heads) == wanted:
            yield builder.build(options | heads, state)


def _explicit(
    builder: Builder, options: dict[str, Any], dense: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    """Give options that are left out the values that they stand for."""
    for name in OPTIONAL:
        if options.get(name) is None:
            values = list(_values(_effects(builder, options, name, 64), dense))
            if len(values) == 1 and values[0].denominator == 1:
                given = {**options, name: int(values[0])}
                shapes = builder.shapes(given)
                if all(shapes.get(tensor) == shape for tensor, shape in dense.items()):
                    options = given
    return options


def _solved(
    builder: Builder, options: dict[str, Any], wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, int]:
    """Return the options that must change, and their values."""
    changed = {}
    for name, value in options.items():
        if not _is_size(value) or name in INSIDE or name.endswith("_id"):
            continue
        values = _values(_effects(builder, options, name, value), wanted)
        if len(values) > 1:
            (one, first), (other, second), *_ = values.items()
            raise Uneven(f"{name} is {float(one):g} in {first}, and {float(other):g} in {second}")
        for found, place in values.items():
            if found.denominator != 1 or found < 1:
                raise Uneven(f"{name} would be {float(found):g} in {place}")
            if found != value:
                changed[name] = int(found)
    return changed


def _effects(
    builder: Builder, options: dict[str, Any], name: str, value: int
) -> dict[Place, tuple[int, int, int]]:
    """Return the sizes that follow an option: by place, the value, the size then, and the slope."""
    one, two = (builder.shapes({**options, name: times * value}) for times in (1, 2))
    return {
        (tensor, dim): (value, size, (two[tensor][dim] - size) // value)
        for tensor, shape in one.items()
        if len(two.get(tensor, ())) == len(shape)
        for dim, size in enumerate(shape)
        if two[tensor][dim] - size >= value
    }


def _values(
    effects: Mapping[Place, tuple[int, int, int]], wanted: Mapping[str, tuple[int, ...]]
) -> dict[Fraction, str]:
    """Return the values of an option by which sizes are those wanted, and a place for each."""
    values: dict[Fraction, str] = {}
    for (name, dim), (value, size, slope) in effects.items():
        if name in wanted:
            values.setdefault(value + Fraction(wanted[name][dim] - size, slope), name)
    return values


def _unseen_heads(
    builder: Builder, before: dict[str, Any], after: Options
) -> Iterator[dict[str, int]]:
    """Yield numbers of heads that no tensor shows: in the proportions of what changed."""
    heads = {
        name: value
        for name, value in before.items()
        if "head" in name and _is_size(value) and name not in INSIDE
        if not _effects(builder, before, name, value)
    }
    ratios = {Fraction(after[name], value) for name, value in before.items() if _is_size(value)}
    for ratio in sorted(ratios):  # smaller ones first: what shrank
        scaled = {name: value * ratio for name, value in heads.items()}
        if all(value >= 1 and value.denominator == 1 for value in scaled.values()):
            yield {name: int(value) for name, value in scaled.items()}
        if not heads:
            return


def _is_size(value: Any) -> bool:
    return type(value) is int and value > 0
