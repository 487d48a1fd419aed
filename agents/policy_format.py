"""Format of a stored policy: the checks that its two untrusted files must pass.

Everything that does not match raises DamagedError, with a hint of what to do.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from autoprune.envs.walk import ENTRIES, VERSION
from autoprune.errors import DamagedError
from autoprune.foundation.files import parse

FORMAT: Final = 1
LARGEST_WIDTH: Final = 1024
MOST_LAYERS: Final = 8
LARGEST_FILE: Final = 32 * 2**20
LARGEST_DESCRIPTION: Final = 2**20
DESCRIPTION, WEIGHTS = "policy.json", "policy.safetensors"
AGAIN: Final = "fetch it again, train one with autoprune train-policy, or leave out --policy"
"""Hint for a damaged policy."""

_ANOTHER: Final = "train one with this version, or use the version that wrote it"

Hidden = Literal["relu", "tanh"]
Output = Literal["tanh", "clip"]


def read_bounded(path: Path, most: int) -> bytes:
    """Read a file of at most ``most`` bytes; a larger one is not read to its end."""
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise DamagedError(f"{path} is larger than any policy of ours ({most} bytes)", AGAIN)
    return content


def parse_description(content: bytes, what: str) -> object:
    """Parse the JSON of a description; ``what`` names the file in errors."""
    try:
        return parse(content.decode("utf-8"), what)
    except UnicodeDecodeError:
        raise DamagedError(f"{what} is not a text file", AGAIN) from None
    except DamagedError as error:
        raise DamagedError(str(error), AGAIN) from None


def check_description(description: object) -> dict[str, Any]:
    """Return the description if format, observation, widths and activations are known."""
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
        raise DamagedError("the policy's description is damaged", AGAIN)
    return data


def read_weights(content: bytes, widths: list[int]) -> dict[str, NDArray[np.float32]]:
    """Read ``i.weight`` [out, in] and ``i.bias`` [out] of layers of the given widths."""
    if len(content) > LARGEST_FILE:
        raise DamagedError(f"the policy is larger than {LARGEST_FILE} bytes", AGAIN)
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DamagedError(f"the policy's weights cannot be read: {error}", AGAIN) from None
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (into, out) in enumerate(pairwise([len(ENTRIES), *widths])):
        shapes |= {f"{i}.weight": (out, into), f"{i}.bias": (out,)}
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise DamagedError("the policy's weights are not those its description announces", AGAIN)
    if not all(t.dtype == np.float32 and np.isfinite(t).all() for t in tensors.values()):
        raise DamagedError("the policy's weights are not finite float32 numbers", AGAIN)
    return tensors
