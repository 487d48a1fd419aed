"""Whether a model of transformers from a directory can be pruned as it is, on the text given."""

from __future__ import annotations

from torch import nn

from autoprune.data.text import BYTES, has_tokenizer, tokenizer_of
from autoprune.errors import UsageError
from autoprune.networks import hugging_face


def check_tokenizer(place: str, data: str) -> None:
    """Raise UsageError for text that the model in ``place`` would read by a wrong tokenizer."""
    if not has_tokenizer(data):
        raise UsageError(
            f"the text is read by the tokenizer of hf:{place}, which is not named",
            f"write {data},tokenizer=DIRECTORY, or tokenizer=bytes",
        )
    if tokenizer_of(data) == BYTES and hugging_face.has_tokenizer(place):
        raise UsageError(
            f"{place} has a tokenizer of its own, bytes are not its tokens",
            f"write tokenizer={place}",
        )


def check_trained(place: str, model: nn.Module) -> None:
    """Raise UsageError for a model some of whose weights its files lack."""
    lacking = hugging_face.lacking(model)
    if lacking:
        raise UsageError(
            f"{place} has no weights for {lacking[0]}: what it ends in is not trained",
            "train it first (autoprune train), then name that run with --weights",
        )
