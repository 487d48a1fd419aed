"""One row of the table of networks, by one tool, in a process of its own.

python -m tests.real.measure ours|theirs LIBRARY NAME
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from autoprune.structure.graph import call
from autoprune.structure.outputs import counted
from tests.real import ours
from tests.real.catalog import networks
from tests.real.network import Network

ENDS = (nn.Linear, nn.Conv2d, nn.Conv1d, nn.ConvTranspose2d)


def main() -> None:
    """Print the row as JSON."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    tool, library, name = sys.argv[1:]
    row = {"ours": by_us, "theirs": by_them}[tool](networks(library)[name])
    print("ROW " + json.dumps(row), flush=True)


def by_us(network: Network) -> dict[str, Any]:
    """Prune by autoprune and say what is left and what stays."""
    outcome = ours.halve(network)
    pins = sorted(outcome.structure.pinned, key=lambda one: -one.size)
    inner = [one for one in pins if not one.reason.startswith("model ")]
    return {
        "parameters": outcome.parameters,
        "left": outcome.share,
        "macs_left": outcome.macs_left / max(outcome.macs, 1),
        "seconds": outcome.seconds,
        **outcome.errors,
        "groups": len(outcome.structure.groups),
        "pins": [f"{one.name} {one.size}: {one.reason}" for one in (inner or pins)[:8]],
    }


def by_them(network: Network) -> dict[str, Any]:
    """Prune by torch-pruning and say what is left, and whether it still runs."""
    from tests.real import theirs

    model, inputs = ours.dense(network)
    before, work = ours.count(model), ours.macs(model, inputs)
    wanted = [one.shape for one in _outputs(network, model, inputs)]
    theirs.halve(model, inputs, _ends(network, model, inputs))
    compact = copy.deepcopy(model).eval()
    if [one.shape for one in _outputs(network, compact, inputs)] != wanted:
        raise ValueError("the outputs have another shape")
    return {
        "parameters": before,
        "left": ours.count(compact) / before,
        "macs_left": ours.macs(compact, inputs) / max(work, 1),
    }


def by_export(network: Network) -> dict[str, Any]:
    """Export what autoprune leaves: why each form fails of those that fit the whole network."""
    from tests.real import exporting

    return {"exports": exporting.worse(network)}


@torch.no_grad()
def _outputs(network: Network, model: nn.Module, inputs: Any) -> list[Tensor]:
    return counted(call(model, inputs), network.outputs)


@torch.no_grad()
def _ends(network: Network, model: nn.Module, inputs: Any) -> tuple[nn.Module, ...]:
    """Layers that make an output: their result is one, or has its channels."""
    made: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda m, i, o: made.append((m, o)))
        for module in model.modules()
        if isinstance(module, ENDS)
    ]
    leaves = _outputs(network, model, inputs)
    for hook in hooks:
        hook.remove()
    own = {leaf.data_ptr() for leaf in leaves}
    ends = [module for module, value in made if value.data_ptr() in own]
    return tuple(dict.fromkeys(ends or [module for module, _ in made[-1:]]))


if __name__ == "__main__":
    main()
