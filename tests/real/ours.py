"""A real network pruned to one half by autoprune, and compared with its masked twin."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze
from autoprune.structure.graph import call
from autoprune.structure.kept_norms import KeptUnits
from autoprune.structure.outputs import counted
from autoprune.structure.plan import Plan
from autoprune.structure.table import Structure
from tests.real.network import Network, stirred

TOLERANCE = 2e-3


@dataclass(frozen=True)
class Outcome:
    """What is left of a network, and how far it is from its masked twin, in each mode.

    Errors are relative to the largest output.
    """

    parameters: int
    left: int
    macs: int
    macs_left: int
    seconds: float
    errors: dict[str, float]
    structure: Structure

    @property
    def share(self) -> float:
        """Share of the parameters that are left."""
        return self.left / self.parameters


def dense(network: Network) -> tuple[nn.Module, Any]:
    """Build a network and its inputs, the same every time."""
    torch.manual_seed(0)
    model = stirred(network.build()).eval()
    return model, network.inputs()


def halve(network: Network) -> Outcome:
    """Analyze a network, keep one half of every group, and compare it with its masked twin."""
    model, inputs = dense(network)
    start = time.process_time()
    structure = analyze(model, inputs, outputs=network.outputs)
    seconds = time.process_time() - start
    plan = Plan.uniform(structure, 0.5)
    compact, masked = (make(model, structure, plan) for make in (prune, mask))
    return Outcome(
        count(model),
        count(compact),
        macs(model, inputs),
        macs(compact, inputs),
        seconds,
        {
            mode: difference(model, (compact, masked), inputs, mode, network.outputs)
            for mode in ("eval", "train")
        },
        structure,
    )


def count(model: nn.Module) -> int:
    """Count the parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def macs(model: nn.Module, inputs: Any) -> int:
    """Count multiply-adds of one pass, by torch's own counter."""
    frozen = copy.deepcopy(model).requires_grad_(False)  # it hooks the gradients that there are
    with FlopCounterMode(display=False) as counter:
        call(frozen, inputs)
    return int(counter.get_total_flops()) // 2


@torch.no_grad()
def difference(
    model: nn.Module,
    pair: tuple[nn.Module, nn.Module],
    inputs: Any,
    mode: str,
    names: tuple[str, ...] = (),
) -> float:
    """Return how far a compact network is from its masked twin, relative to the largest output.

    ``names`` are the outputs that count. A network that does not run in a mode on inputs alone (it
    wants targets) is equal there.
    """
    dense, compact, masked = (copy.deepcopy(one) for one in (model, *pair))
    if _wide(model, inputs):
        dense, compact, masked = dense.double(), compact.double(), masked.double()
        inputs = _double(inputs)
    try:
        with KeptUnits() as before:
            _run(dense, inputs, mode, names)
    except Exception:
        if mode == "eval":
            raise
        return 0.0
    with KeptUnits(before):
        expected = _run(masked, inputs, mode, names)
    found = _run(compact, inputs, mode, names)
    scale = max(float(leaf.abs().max()) for leaf in expected if leaf.numel())
    return max(
        float((a - b).abs().max()) / scale
        for a, b in zip(found, expected, strict=True)
        if b.numel()
    )


def _wide(model: nn.Module, inputs: Any) -> bool:
    """Whether a network runs in double precision."""
    try:
        _run(copy.deepcopy(model).double(), _double(inputs), "eval")
    except Exception:  # some products are only made for smaller types
        return False
    return True


def _double(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: _double(value) for name, value in inputs.items()}
    return inputs.double() if isinstance(inputs, Tensor) and inputs.is_floating_point() else inputs


def _run(model: nn.Module, inputs: Any, mode: str, names: tuple[str, ...] = ()) -> list[Tensor]:
    torch.manual_seed(0)
    leaves = counted(call(model.train(mode == "train"), inputs), names)
    return [leaf for leaf in leaves if leaf.is_floating_point()]
