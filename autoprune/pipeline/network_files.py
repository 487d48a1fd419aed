"""Files of a run that hold a network, and those that stay true when its weights change."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any, Final

from torch import Tensor, nn

from autoprune.networks.bitmap import pack
from autoprune.networks.save import SPEC, WEIGHTS, state_tensors, write_tensors
from autoprune.networks.weights import BASE
from autoprune.pipeline.dense_of import MASKS
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import Run

PLAN: Final = "plan.json"


def carried(artifacts: Artifacts) -> dict[str, Path]:
    """Return the files that go along when the network of a run is trained or matched further."""
    return {name: artifacts.file(name) for name in (MASKS, PLAN, BASE) if name in artifacts.names}


def publish_network(
    run: Run,
    model: nn.Module,
    spec: Mapping[str, Any],
    masks: Mapping[str, Tensor],
    files: Mapping[str, Path],
) -> None:
    """Publish a network with what builds it, ``spec``, and copies of ``files`` by name.

    ``masks``: those of single weights; weights that ``spec`` calls sparse are stored by them.
    """
    for name, path in files.items():
        run.publish(name, partial(copyfile, path))
    run.publish_json(SPEC, dict(spec))
    sparse = {name: masks[name] for name in spec.get("sparse", ())}
    run.publish(WEIGHTS, partial(write_tensors, tensors=pack(state_tensors(model), sparse)))
