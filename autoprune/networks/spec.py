"""Specifications of networks (``--model``): from a name, to a network with fresh weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from autoprune.data import Data
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation import trust
from autoprune.foundation.user_code import (
    Factory,
    accepted,
    blamed,
    is_factory,
    load,
    parameters,
    refuse_malformed,
)
from autoprune.networks import zoo
from autoprune.networks.constructor import split_options
from autoprune.networks.libraries import LIBRARIES, as_module, build_from_library, library_options
from autoprune.structure.copies import unwrapped


@dataclass(frozen=True)
class ModelSpec:
    """Specification by which a network can be built again: a name and options, JSON-able.

    ``factory`` is a zoo name, ``timm:NAME``, ``torchvision:NAME``, or a function of the user's with
    its source file ``path`` (absolute) and the ``sha256`` of that.
    """

    factory: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    sha256: str = ""

    def build(self, *, trust_code: bool = False) -> nn.Module:
        """Build the network with fresh weights.

        A function of the user's is imported only with ``trust_code``, or if the user named it on
        this machine before and its file is unchanged (:mod:`autoprune.foundation.trust`); then it
        is allowed.
        Raises DamagedError if it is not to be trusted, UsageError if it fails.
        """
        library, _, name = self.factory.partition(":")
        if not name:
            with blamed(f"{self.factory} cannot be built"):
                return zoo.build(self.factory, **self.kwargs)
        if library in LIBRARIES:
            return build_from_library(library, name, self.kwargs)
        if not trust_code:
            self.require_trust()
        function, factory = load(self.factory)
        trust.allow(factory)
        with blamed(f"{self.factory} fails"):
            return as_module(self.factory, function(**self.kwargs))

    def require_trust(self) -> None:
        """Raise DamagedError if building would run code that was never named here."""
        library, _, name = self.factory.partition(":")
        if name and library not in LIBRARIES:
            trust.check(Factory(self.factory, self.path, self.sha256))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return asdict(self) | {"kwargs": dict(self.kwargs)}

    @classmethod
    def from_json(cls, data: object) -> ModelSpec:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        kinds = {"factory": str, "kwargs": dict, "path": str, "sha256": str}
        if (
            not isinstance(data, dict)
            or set(data) != set(kinds)
            or not all(isinstance(data[name], kind) for name, kind in kinds.items())
            or not all(isinstance(name, str) for name in data["kwargs"])
        ):
            raise DamagedError("not a model specification: expected factory, kwargs, path, sha256")
        return cls(**data)


def model_spec(name: str, data: Data | None = None, **options: Any) -> ModelSpec:
    """Return the specification of the network that the user calls ``name``.

    Classes, channels and image size come from ``data``, or from ``options``, which go first; a
    function of the user's gets those that it takes (``classes``, ``channels``, ``size``). Options
    of its constructor may follow a name: ``resnet20,shortcut=B``, ``timm:vit_tiny,img_size=64``,
    ``mynet.py:build,width=12``.
    Naming a function here allows it for :meth:`ModelSpec.build`.

    Raises UsageError if there is no such network, file, function or option.
    """
    shape = _shape(data) | options
    name, chosen = split_options(name)
    library, _, rest = name.partition(":")
    if library in LIBRARIES and rest:
        return ModelSpec(name, library_options(library, shape) | chosen)
    if is_factory(name):
        function, factory = load(name)
        trust.allow(factory)
        _require_options(name, chosen, parameters(function))
        given = accepted(function, shape) | chosen
        return ModelSpec(factory.name, given, factory.path, factory.sha256)
    refuse_malformed(name)
    _require_options(name, chosen, zoo.find(name).options)
    known = set(zoo.find(name).options) | set(options)
    return ModelSpec(name, {key: value for key, value in shape.items() if key in known} | chosen)


def resolve_model(spec: str | ModelSpec | nn.Module, data: Data | None = None) -> nn.Module:
    """Return the network that ``spec`` is or names, shaped for ``data``, with fresh weights."""
    if isinstance(spec, nn.Module):
        return unwrapped(spec)
    if isinstance(spec, str):
        spec = model_spec(spec, data)
    return spec.build(trust_code=True)


def _shape(data: Data | None) -> dict[str, int]:
    """Return the options of a network that follow from ``data``."""
    shape = {}
    if data and data.classes:
        shape["classes"] = data.classes
    if data and data.image_shape:
        shape["channels"] = data.image_shape[0]
        if data.image_shape[1] == data.image_shape[2]:
            shape["size"] = data.image_shape[1]
    return shape


def _require_options(name: str, chosen: Mapping[str, Any], known: Collection[str] | None) -> None:
    """Raise UsageError for an option that a network does not have; None: it may have any."""
    for option in chosen:
        if known is not None and option not in known:
            has = ", ".join(known)
            raise UsageError(f"{name} has no option {option!r}", f"it has {has}" if has else "")
