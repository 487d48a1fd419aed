"""A trained agent's network: JSON and safetensors, safe to load, running on any model.

Two files, by default ``policy.json`` and ``policy.safetensors``. Neither is trusted: both are
bounded in size before they are read, and everything in them is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import nn

from autoprune.envs.walk import (
    ENTRIES,
    VERSION,
    WalkContext,
    initial,
    observe,
    plan_of,
    terminal,
    transition,
)
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import parse
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.runs.artifacts import MANIFEST, Artifacts
from autoprune.structure.plan import Plan

FORMAT: Final = 1
LARGEST_WIDTH: Final = 1024
MOST_LAYERS: Final = 8
LARGEST_FILE: Final = 32 * 2**20
LARGEST_DESCRIPTION: Final = 2**20
DESCRIPTION, WEIGHTS = "policy.json", "policy.safetensors"
_ANOTHER: Final = "train one with this version, or use the version that wrote it"
_AGAIN: Final = "fetch it again, train one with autoprune train-policy, or leave out --policy"
_NAME_ONE: Final = f"name a run that has one, or its {DESCRIPTION} with {WEIGHTS} beside it"

Hidden = Literal["relu", "tanh"]
Output = Literal["tanh", "clip"]
Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Policy:
    """A small network from observation to action.

    ``weights`` [out, in] and ``biases`` [out] of its linear layers, float32; ``hidden`` is what
    follows all but the last, ``output`` what follows the last. ``trained_on`` is for people, and
    may hold ``budgets``: the least and the most fraction of a cost that it was trained with.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    hidden: Hidden = "relu"
    output: Output = "tanh"
    trained_on: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls, network: nn.Module, hidden: Hidden, output: Output, trained_on: Mapping[str, Any]
    ) -> Self:
        """Copy the linear layers of ``network``, in order."""
        layers = _linear(network)
        return cls(
            tuple(layer.weight.detach().cpu().numpy().copy() for layer in layers),
            tuple(layer.bias.detach().cpu().numpy().copy() for layer in layers),
            hidden,
            output,
            dict(trained_on),
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a policy: a run directory, or one of its two files with the other beside it.

        Raises UsageError if there is none, DamagedError for anything that is not one of ours.
        """
        place = Path(path)
        if place.is_dir():
            place = place / DESCRIPTION
        description, content = place.with_suffix(".json"), place.with_suffix(".safetensors")
        for file in (description, content):
            if not file.is_file():
                raise UsageError(f"no policy in {path}: {file} is missing", _NAME_ONE)
        if (place.parent / MANIFEST).exists():
            for file in (description, content):
                Artifacts(place.parent).file(file.name)
        text = _bounded(description, LARGEST_DESCRIPTION)
        return cls.read(_json(text, str(description)), _bounded(content, LARGEST_FILE))

    @classmethod
    def shipped(cls) -> Self:
        """Return the policy that comes with autoprune."""
        folder = files("autoprune.agents").joinpath("shipped")
        text = folder.joinpath(DESCRIPTION).read_text(encoding="utf-8")
        return cls.read(parse(text, "shipped policy"), folder.joinpath(WEIGHTS).read_bytes())

    def __call__(self, observations: Array) -> Array:
        """Map observations [n, entries] to actions [n] in [-1, 1].

        Raises DamagedError if weights, though finite, are so large that they overflow.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            values = observations
            for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
                values = values @ weight.T + bias
                values = np.maximum(values, 0) if self.hidden == "relu" else np.tanh(values)
            values = (values @ self.weights[-1].T + self.biases[-1])[:, 0]
        if not np.isfinite(values).all():
            raise DamagedError("the policy's weights overflow: no trained one does that", _AGAIN)
        return np.tanh(values) if self.output == "tanh" else np.clip(values, -1, 1)

    def plan(self, problem: PruningProblem) -> Plan:
        """Return the plan that the policy makes for a problem, without any evaluation.

        Single units that the walk leaves room for are added.
        """
        context = WalkContext.of(problem)
        state = initial(context)
        while not terminal(context, state):
            action = self(observe(context, state)[None])
            state = transition(context, state, float(action[0]))
        return problem.budget.top_up(plan_of(context, state))

    def is_like(self, network: nn.Module, hidden: Hidden, output: Output) -> bool:
        """Whether the network has the same layers, and the policy the given activations."""
        shapes = [tuple(layer.weight.shape) for layer in _linear(network)]
        own = [weight.shape for weight in self.weights]
        return (shapes, hidden, output) == (own, self.hidden, self.output)

    def copy_to(self, network: nn.Module) -> None:
        """Copy the weights into the linear layers of a network that ``is_like`` it."""
        with torch.no_grad():
            for layer, weight, bias in zip(
                _linear(network), self.weights, self.biases, strict=True
            ):
                layer.weight.copy_(torch.from_numpy(weight.copy()))
                layer.bias.copy_(torch.from_numpy(bias.copy()))

    @property
    def budgets(self) -> tuple[float, float] | None:
        """Least and most fraction of a cost that it was trained with, if it says so."""
        said = (self.trained_on or {}).get("budgets")
        if isinstance(said, list) and len(said) == 2 and all(type(x) is float for x in said):
            return said[0], said[1]
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the description that goes beside the tensors."""
        return {
            "format": FORMAT,
            "observation": {"version": VERSION, "entries": list(ENTRIES)},
            "widths": [int(weight.shape[0]) for weight in self.weights],
            "hidden": self.hidden,
            "output": self.output,
            "trained_on": dict(self.trained_on or {}),
        }

    def to_safetensors(self) -> bytes:
        """Return the weights as the content of a safetensors file."""
        tensors = {f"{i}.weight": weight for i, weight in enumerate(self.weights)}
        tensors.update({f"{i}.bias": bias for i, bias in enumerate(self.biases)})
        return safetensors.numpy.save(tensors)

    @classmethod
    def read(cls, description: object, content: bytes) -> Self:
        """Rebuild what ``to_json`` and ``to_safetensors`` gave; neither is trusted.

        Raises DamagedError for another format or observation, and for anything that does not match.
        """
        data = _described(description)
        if len(content) > LARGEST_FILE:
            raise DamagedError(f"the policy is larger than {LARGEST_FILE} bytes", _AGAIN)
        try:
            tensors = safetensors.numpy.load(content)
        except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
            raise DamagedError(f"the policy's weights cannot be read: {error}", _AGAIN) from None
        widths = [len(ENTRIES), *data["widths"]]
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (into, out) in enumerate(pairwise(widths)):
            shapes |= {f"{i}.weight": (out, into), f"{i}.bias": (out,)}
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise DamagedError(
                "the policy's weights are not those its description announces", _AGAIN
            )
        if not all(t.dtype == np.float32 and np.isfinite(t).all() for t in tensors.values()):
            raise DamagedError("the policy's weights are not finite float32 numbers", _AGAIN)
        layers = range(len(data["widths"]))
        return cls(
            tuple(tensors[f"{i}.weight"] for i in layers),
            tuple(tensors[f"{i}.bias"] for i in layers),
            data["hidden"],
            data["output"],
            data["trained_on"],
        )


def origin(agent: str, problem: PruningProblem, ledger: Ledger) -> dict[str, Any]:
    """Say what a policy was trained on by a search."""
    fraction = float(min(problem.budget.fractions.values(), default=1.0))
    return {
        "agent": agent,
        "budget": str(problem.budget.budget),
        "budgets": [fraction, fraction],
        "evaluations": ledger.count,
        "groups": len(problem.structure.groups),
    }


def _linear(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def _bounded(path: Path, most: int) -> bytes:
    """Read a file, refusing early what is larger than any of ours."""
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise DamagedError(f"{path} is larger than any policy of ours ({most} bytes)", _AGAIN)
    return content


def _json(content: bytes, what: str) -> object:
    try:
        return parse(content.decode("utf-8"), what)
    except UnicodeDecodeError:
        raise DamagedError(f"{what} is not a text file", _AGAIN) from None
    except DamagedError as error:
        raise DamagedError(str(error), _AGAIN) from None


def _described(description: object) -> dict[str, Any]:
    data = description if isinstance(description, dict) else {}
    if data.get("format") != FORMAT:
        raise DamagedError("not a policy of a format this version knows", _ANOTHER)
    if data.get("observation") != {"version": VERSION, "entries": list(ENTRIES)}:
        raise DamagedError("the policy was trained on other observations than ours", _ANOTHER)
    widths = data.get("widths")
    fits = (
        isinstance(widths, list)
        and 1 <= len(widths) <= MOST_LAYERS
        and all(type(width) is int and 1 <= width <= LARGEST_WIDTH for width in widths)
        and widths[-1] == 1
        and data.get("hidden") in get_args(Hidden)
        and data.get("output") in get_args(Output)
        and isinstance(data.get("trained_on"), dict)
    )
    if not fits:
        raise DamagedError("the policy's description is damaged", _AGAIN)
    return data
