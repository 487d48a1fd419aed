"""Policy of a trained agent: JSON and safetensors, safe to load, for any network and budget.

Two files, by default ``policy.json`` and ``policy.safetensors``. Neither is trusted: their sizes
are limited before they are read, and everything in them is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import nn

from autoprune.agents.policy_format import (
    AGAIN,
    DESCRIPTION,
    FORMAT,
    LARGEST_DESCRIPTION,
    LARGEST_FILE,
    WEIGHTS,
    Hidden,
    Output,
    check_description,
    parse_description,
    read_bounded,
    read_weights,
)
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

_NAME_ONE: Final = f"name a run that has one, or its {DESCRIPTION} with {WEIGHTS} beside it"

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Policy:
    """Small network from observation to action.

    ``weights`` [out, in] and ``biases`` [out] of its linear layers, float32; ``hidden`` is the
    activation after all but the last, ``output`` that after the last. ``trained_on`` is for people,
    and may hold ``budgets``: the least and the largest fraction of a cost in training.
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
        text = read_bounded(description, LARGEST_DESCRIPTION)
        return cls.read(
            parse_description(text, str(description)), read_bounded(content, LARGEST_FILE)
        )

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
            raise DamagedError("the policy's weights overflow: no trained one does that", AGAIN)
        return np.tanh(values) if self.output == "tanh" else np.clip(values, -1, 1)

    def plan(self, problem: PruningProblem) -> Plan:
        """Return the policy's plan for a problem, without any evaluation.

        Single units that still fit after the walk are added.
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
        """Least and largest fraction of a cost in training, if ``trained_on`` holds them."""
        stated = (self.trained_on or {}).get("budgets")
        if isinstance(stated, list) and len(stated) == 2 and all(type(x) is float for x in stated):
            return stated[0], stated[1]
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the description to store beside the weights."""
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
        """Rebuild a policy from ``to_json`` and ``to_safetensors``; neither is trusted.

        Raises DamagedError for another format or observation, and for any mismatch.
        """
        data = check_description(description)
        tensors = read_weights(content, data["widths"])
        layers = range(len(data["widths"]))
        return cls(
            tuple(tensors[f"{i}.weight"] for i in layers),
            tuple(tensors[f"{i}.bias"] for i in layers),
            data["hidden"],
            data["output"],
            data["trained_on"],
        )


def origin(agent: str, problem: PruningProblem, ledger: Ledger) -> dict[str, Any]:
    """Return ``trained_on`` of a policy that was trained by a search."""
    fraction = float(min(problem.budget.fractions.values(), default=1.0))
    return {
        "agent": agent,
        "budget": problem.budget.name,
        "budgets": [fraction, fraction],
        "evaluations": ledger.count,
        "groups": len(problem.structure.groups),
    }


def _linear(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]
