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
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "ctc": "AutoModelForCTC",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "image-classification": "AutoModelForImageClassification",
}
"""Values of the option ``head``, and the classes that build a model with it."""


UNEVEN: Final = "autoprune.json"
"""File beside a configuration that cannot say the sizes of its model: how that was cut."""

TOKENIZER: Final = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model"),
    *("sentencepiece.bpe.model", "chat_template.jinja", "preprocessor_config.json"),
    *("processor_config.json",),
)
"""Files of tokenizers and processors; all are data."""


_ADAPTER: Final = ("config.json", "model.safetensors", "model.bin")
_QUANTIZED: Final = {"quantization_config", "compression_config"}
_LACKING: Final = "_autoprune_lacking"


def load_pretrained(place: str, options: Mapping[str, Any]) -> nn.Module:
    """Load a model of transformers with its weights, of safetensors only.

    The option ``head`` says what it ends in (:data:`HEADS`), by default what it was saved with. Its
    cache of keys and values is switched off. Nothing is fetched, and no code of the model's own is
    run. Raises UsageError, in one line, for anything else than such a directory.
    """
    wanted = dict(options).pop("head", None)
    others = sorted(options.keys() - {"head"})
    if others or wanted not in (None, *HEADS):
        said = f"option {others[0]!r}" if others else f"head {wanted!r}"
        raise UsageError(f"hf:{place} has no {said}", f"head= is one of {', '.join(HEADS)}")
    directory = expand_user(place)
    kind, _ = class_of(place, directory, wanted)
    if (directory / UNEVEN).is_file():
        raise UsageError(
            f"{place} was pruned already, its layers to different widths",
            "from Python, autoprune.search takes what autoprune.from_pretrained opens",
        )
    model: Any = load_class(place, directory, kind)
    keep_cache(model, False)
    network: nn.Module = model
    return network


def keep_cache(model: Any, kept: bool) -> None:
    """Say whether a model gives out its cache of keys and values.

    Parts of some models (decoders of T5) have configurations of their own, which decide.
    """
    for module in model.modules():
        if hasattr(getattr(module, "config", None), "use_cache"):
            module.config.use_cache = kept


def has_tokenizer(place: str) -> bool:
    """Whether a tokenizer lies beside the model of a directory."""
    directory = expand_user(place)
    return any((directory / name).is_file() for name in (TOKENIZER[0], "tokenizer_config.json"))


def transformers() -> Any:
    """Return the library; raise UsageError if it is not installed."""
    with needed("transformers", "transformers"):
        import transformers
    return transformers


def class_of(place: str, directory: Path, head: str | None = None) -> tuple[Any, dict[str, Any]]:
    """Return the class of the model in a directory, and its configuration.

    Raises UsageError for a directory that holds no model that can be pruned.
    """
    config = _config(place, directory)
    library, kind = transformers(), None
    with needed("transformers", "transformers"):  # it imports a class when it is named
        if head:
            return getattr(library, HEADS[head]), config
        match config.get("architectures"):
            case [str(name), *_]:
                kind = getattr(library, name, None)
    if not isinstance(kind, type) or not issubclass(kind, library.PreTrainedModel):
        raise UsageError(
            f"{place} does not say what it ends in", f"add ,head= with one of {', '.join(HEADS)}"
        )
    return kind, config


def load_class(place: str, directory: Path, kind: Any) -> nn.Module:
    """Load a model of a class with its weights; raise UsageError, in one line, if it fails.

    What its files lack has fresh weights (:func:`lacking`).
    """
    log = transformers().utils.logging
    log.disable_progress_bar()  # ours tells of what takes long
    before = log.get_verbosity()
    log.set_verbosity_error()  # a report of many lines on what is lacking
    try:
        with blamed(f"{place} cannot be loaded"):
            model, told = kind.from_pretrained(
                directory, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    finally:
        log.set_verbosity(before)
    network: nn.Module = model.eval()
    network.__dict__[_LACKING] = tuple(sorted(told["missing_keys"]))
    return network


def lacking(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the weights that the files of a model did not hold."""
    names: tuple[str, ...] = model.__dict__.get(_LACKING, ())
    return names


def _config(place: str, directory: Path) -> dict[str, Any]:
    """Return the configuration of a model; raise UsageError for what cannot be pruned."""
    if not directory.is_dir():
        raise UsageError(
            f"no directory {place}", "names of the hub are not fetched: download the model first"
        )
    if any((directory / f"adapter_{name}").is_file() for name in _ADAPTER):
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
    if _QUANTIZED & config.keys():
        raise UsageError(f"{place} is quantized", "prune the model first, then quantize it")
    if any(directory.glob("*.bin")) and not any(directory.glob("*.safetensors")):
        raise UsageError(
            f"{place} holds pickled weights, which are not loaded",
            "save it again by model.save_pretrained, which writes safetensors",
        )
    return config
