"""Networks of transformers from a directory on disk: ``hf:DIRECTORY``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import nn

from autoprune.errors import UsageError
from autoprune.foundation.files import expand_user, parse
from autoprune.foundation.libraries import needed
from autoprune.foundation.user_code import blamed

NAME: Final = "hf"

HEADS: Final = {
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "image-classification": "AutoModelForImageClassification",
}
"""Values of the option ``head``, and the classes that build a model with it."""


def load_pretrained(place: str, options: Mapping[str, Any]) -> nn.Module:
    """Load a model of transformers with its weights, of safetensors only.

    The option ``head`` says what it ends in (:data:`HEADS`), by default what it was saved with. Its
    cache of keys and values is switched off. Nothing is fetched, and no code of the model's own is
    run. Raises UsageError, in one line, for anything else than such a directory.
    """
    directory = expand_user(place)
    config = _config(place, directory)
    wanted = dict(options).pop("head", None)
    others = sorted(options.keys() - {"head"})
    if others or wanted not in (None, *HEADS):
        said = f"option {others[0]!r}" if others else f"head {wanted!r}"
        raise UsageError(f"hf:{place} has no {said}", f"head= is one of {', '.join(HEADS)}")
    name = HEADS[wanted] if wanted else next(iter(config.get("architectures") or ()), "")
    with needed("transformers", "transformers"):
        import transformers

        kind = getattr(transformers, name, None)
    if kind is None:
        raise UsageError(
            f"{place} does not say what it ends in", f"add ,head= with one of {', '.join(HEADS)}"
        )
    transformers.utils.logging.disable_progress_bar()  # ours tells of what takes long
    with blamed(f"{place} cannot be loaded"):
        model: Any = kind.from_pretrained(directory, local_files_only=True, use_safetensors=True)
    model.config.use_cache = False
    network: nn.Module = model.eval()
    return network


def _config(place: str, directory: Path) -> dict[str, Any]:
    """Return the configuration of a model; raise UsageError for what cannot be pruned."""
    if not directory.is_dir():
        raise UsageError(
            f"no directory {place}", "names of the hub are not fetched: download the model first"
        )
    if (directory / "adapter_config.json").is_file():
        raise UsageError(
            f"{place} holds an adapter, not a model", "merge it into its model and save that"
        )
    file = directory / "config.json"
    if not file.is_file():
        raise UsageError(f"no model in {place}: config.json is missing")
    config = parse(file.read_text(encoding="utf-8"), str(file))
    if not isinstance(config, dict):
        raise UsageError(f"{file} is no configuration of a model")
    if "auto_map" in config:
        raise UsageError(
            f"{place} needs code of its own, which is not run",
            "build it in a function, and pass --model file.py:function",
        )
    if "quantization_config" in config:
        raise UsageError(f"{place} is quantized", "prune the model first, then quantize it")
    return config
