"""A trained agent's network: JSON and safetensors, safe to load, running on any model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, Self, get_args

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from torch import nn

from autoprune.envs import core
from autoprune.errors import DamagedError
from autoprune.plan import Plan
from autoprune.problem import Ledger, PruningProblem

FORMAT: Final = 1
LARGEST_WIDTH: Final = 4096
MOST_LAYERS: Final = 16
LARGEST_FILE: Final = 64 * 2**20
_ANOTHER: Final = "train one with this version, or use the version that wrote it"

Hidden = Literal["relu", "tanh"]
Output = Literal["tanh", "clip"]
Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Policy:
    """A small network from observation to action.

    ``weights`` [out, in] and ``biases`` [out] of its linear layers, float32; ``hidden`` is what
    follows all but the last, ``output`` what follows the last. ``trained_on`` is for people.
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
        layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
        return cls(
            tuple(layer.weight.detach().cpu().numpy().copy() for layer in layers),
            tuple(layer.bias.detach().cpu().numpy().copy() for layer in layers),
            hidden,
            output,
            dict(trained_on),
        )

    def __call__(self, observations: Array) -> Array:
        """Map observations [n, entries] to actions [n] in [-1, 1]."""
        values = observations
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = values @ weight.T + bias
            values = np.maximum(values, 0) if self.hidden == "relu" else np.tanh(values)
        values = (values @ self.weights[-1].T + self.biases[-1])[:, 0]
        return np.tanh(values) if self.output == "tanh" else np.clip(values, -1, 1)

    def plan(self, problem: PruningProblem) -> Plan:
        """Return the plan that the policy makes for a problem, without any evaluation."""
        course = core.Course.of(problem)
        state = core.initial(course)
        while not core.terminal(course, state):
            action = self(core.observe(course, state)[None])
            state = core.transition(course, state, float(action[0]))
        return core.plan_of(course, state)

    def to_json(self) -> dict[str, Any]:
        """Return the description that goes beside the tensors."""
        return {
            "format": FORMAT,
            "observation": {"version": core.VERSION, "entries": list(core.ENTRIES)},
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
            raise DamagedError(f"the policy is larger than {LARGEST_FILE} bytes")
        try:
            tensors = safetensors.numpy.load(content)
        except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
            raise DamagedError(f"the policy's weights cannot be read: {error}") from None
        widths = [len(core.ENTRIES), *data["widths"]]
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (into, out) in enumerate(pairwise(widths)):
            shapes |= {f"{i}.weight": (out, into), f"{i}.bias": (out,)}
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise DamagedError("the policy's weights are not those its description announces")
        if not all(t.dtype == np.float32 and np.isfinite(t).all() for t in tensors.values()):
            raise DamagedError("the policy's weights are not finite float32 numbers")
        layers = range(len(data["widths"]))
        return cls(
            tuple(tensors[f"{i}.weight"] for i in layers),
            tuple(tensors[f"{i}.bias"] for i in layers),
            data["hidden"],
            data["output"],
            data["trained_on"],
        )


def origin(agent: str, problem: PruningProblem, ledger: Ledger) -> dict[str, Any]:
    """Say what a policy was trained on."""
    return {
        "agent": agent,
        "budget": str(problem.budget.budget),
        "evaluations": ledger.count,
        "groups": len(problem.structure.groups),
    }


def _described(description: object) -> dict[str, Any]:
    data = description if isinstance(description, dict) else {}
    if data.get("format") != FORMAT:
        raise DamagedError("not a policy of a format this version knows", _ANOTHER)
    if data.get("observation") != {"version": core.VERSION, "entries": list(core.ENTRIES)}:
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
        raise DamagedError("the policy's description is damaged")
    return data
