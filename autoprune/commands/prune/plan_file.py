"""Plans by hand (``--plan``): layers, and how many of their units, or which fraction, they keep."""

from __future__ import annotations

import json
from collections.abc import Mapping

from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.files import expand_user, parse, read_json

_HINT = 'a plan is an object such as {"conv1": 8, "layer1.*": 0.5}'


def read_plan(spec: str) -> str:
    """Return the JSON of a plan, in its order: of a file, or of JSON text itself.

    Raises UsageError for a file that is missing or is no plan.
    """
    path = expand_user(spec)
    try:
        found = parse(spec, "--plan") if spec.lstrip().startswith("{") else read_json(path)
    except AutopruneError as error:
        raise UsageError(f"cannot read the plan: {error}", _HINT) from None
    except OSError as error:
        raise UsageError(f"cannot read the plan {spec}: {error.strerror}", _HINT) from None
    return json.dumps(_checked(found))


def layers_of(text: str) -> Mapping[str, int | float]:
    """Return the layers of a plan that :func:`read_plan` wrote, with what they keep."""
    return _checked(parse(text, "the stored plan"))


def _checked(found: object) -> dict[str, int | float]:
    if isinstance(found, dict) and {"format", "keep"} <= found.keys():  # plan.json of a run
        found = found["keep"]
    if not isinstance(found, dict) or not found:
        raise UsageError("the plan names no layers", _HINT)
    for layer, kept in found.items():
        whole = type(kept) is int and kept >= 0
        if not whole and not (type(kept) is float and 0 < kept <= 1):
            raise UsageError(
                f"the plan keeps {kept!r:.40} of {layer!r}", "a number of units, or a fraction of 1"
            )
    return found
