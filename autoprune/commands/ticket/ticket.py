"""Ticket: masks, the weights they were drawn for, and their origin, in one directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from autoprune.commands.ticket.masks import kept_by_layer, kept_fraction
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import make_directory, pretty, text_writer
from autoprune.networks.bitmap import pack_masks
from autoprune.networks.save import write_tensors
from autoprune.networks.weights import read_masks, read_tensors
from autoprune.runs.artifacts import Artifacts

FORMAT = 1
FACTS, TRAINED = "ticket.json", "trained.safetensors"

Weights = Mapping[str, Tensor]
"""Parameters and buffers by name."""


@dataclass(frozen=True)
class Ticket:
    """Subnetwork that can be trained again.

    - ``masks``: bool tensors by parameter name, True where a weight stays.
    - ``initial``: weights before any training.
    - ``rewound``: weights at the rewind point, after ``rewind`` iterations, from which the ticket
      is trained; ``initial`` if 0.
    - ``trained``: weights at the end of its own training, which the next level prunes; may be {}.
    - ``facts``: origin (configuration, seeds, source) and metrics.
    """

    masks: Mapping[str, Tensor]
    initial: Weights
    rewound: Weights
    trained: Weights
    rewind: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the directory; ``ticket.json`` comes last, each file with a sha256.

        Format 1: ``{"format", "rewind", "remaining", "layers": {NAME: fraction}, "facts"}``.
        """
        make_directory(path)
        artifacts = Artifacts(path)
        for name, tensors in self._tensor_files():
            artifacts.publish(name, partial(write_tensors, tensors=dict(tensors)))
        data = {
            "format": FORMAT,
            "rewind": self.rewind,
            "remaining": kept_fraction(self.masks),
            "layers": kept_by_layer(self.masks),
            "facts": dict(self.facts),
        }
        artifacts.publish(FACTS, text_writer(pretty(data)))

    @classmethod
    def load(cls, path: Path) -> Ticket:
        """Read a directory; nothing is unpickled.

        Raises UsageError if there is no ticket, DamagedError if a file is not what was written.
        """
        if not (path / FACTS).is_file():
            raise UsageError(f"{path} holds no ticket", "autoprune ticket makes them")
        artifacts = Artifacts(path)
        data = artifacts.json(FACTS)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise DamagedError(f"{path / FACTS} has a format this version does not know")
        rewind, facts = data.get("rewind"), data.get("facts")
        if type(rewind) is not int or not isinstance(facts, dict):
            raise DamagedError(f"{path / FACTS} is not the description of a ticket")
        initial = read_tensors(artifacts.file("initial.safetensors"))
        rewound = read_tensors(artifacts.file("rewound.safetensors")) if rewind else initial
        masks = read_masks(artifacts.file("masks.safetensors"))
        order = data.get("layers")
        if not isinstance(order, dict) or order.keys() != masks.keys():
            raise DamagedError(f"{path / FACTS} does not fit the masks beside it")
        masks = {name: masks[name] for name in order}  # safetensors sorts by size
        trained = read_tensors(artifacts.file(TRAINED)) if TRAINED in artifacts.names else {}
        # What was trained may be a compact network, of which the shapes differ.
        require_fit(initial, masks, f"the initial weights of {path}")
        require_fit(rewound, masks, f"the rewound weights of {path}")
        return cls(masks, initial, rewound, trained, rewind, facts)

    def _tensor_files(self) -> list[tuple[str, Weights]]:
        files = [
            ("masks.safetensors", pack_masks(self.masks)),
            ("initial.safetensors", self.initial),
        ]
        if self.rewind:
            files.append(("rewound.safetensors", self.rewound))
        return [*files, (TRAINED, self.trained)] if self.trained else files


def require_fit(weights: Weights, masks: Mapping[str, Tensor], what: str) -> None:
    """Raise DamagedError naming ``what`` unless there are real weights for every mask."""
    for name, mask in masks.items():
        value = weights.get(name)
        if value is None or value.shape != mask.shape or not value.is_floating_point():
            raise DamagedError(f"{what} do not fit the mask of {name!r}", _ANEW)


_ANEW: Final = "start over with --fresh; the damaged run is kept beside the new one"


def fill(model: nn.Module, weights: Weights) -> nn.Module:
    """Load weights into a network of the same architecture and return it.

    Raises UsageError if they belong to another architecture.
    """
    try:
        keys = model.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UsageError(f"the weights do not fit the network: {reason}") from None
    if keys.unexpected_keys:
        raise UsageError(
            f"the weights do not fit the network: it has no {keys.unexpected_keys[0]!r}"
        )
    return model
