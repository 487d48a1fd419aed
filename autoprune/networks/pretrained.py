"""Directories of pruned models of transformers.

The library alone opens those whose sizes its configuration can say; we open the others, which hold
``config.json`` (of the dense model), ``autoprune.json`` (how it was cut,
:mod:`autoprune.networks.save`) and ``autoprune.safetensors``: under that name the library cannot
take the weights for those of the dense model.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.errors import AutopruneError, DamagedError, UsageError
from autoprune.foundation.files import (
    expand_user,
    make_directory,
    pretty,
    read_json,
    replace_text,
    writing,
)
from autoprune.networks.dropped_blocks import Uneven
from autoprune.networks.execution import device_of, mode
from autoprune.networks.fitted_config import fitted
from autoprune.networks.hugging_face import (
    TOKENIZER,
    UNEVEN,
    class_of,
    keep_cache,
    load_class,
    transformers,
)
from autoprune.networks.save import read_cut, rebuild, spec_json, state_tensors, write_tensors
from autoprune.structure.copies import unwrapped
from autoprune.structure.cut_record import recorded_cut
from autoprune.structure.graph import ExampleInputs, call

WEIGHTS: Final = "autoprune.safetensors"

TOLERANCE: Final = 1e-4
"""Largest difference of outputs, relative to the largest output, that still counts as equal."""


@dataclass(frozen=True)
class Saved:
    """A directory that was written, and who opens it.

    ``plain``: transformers alone; else ``why`` says what its configuration cannot.
    """

    path: Path
    kind: str
    plain: bool
    why: str = ""

    def __str__(self) -> str:
        if self.plain:
            return f"opens with transformers alone: {self.kind}.from_pretrained({str(self.path)!r})"
        return f"opens with autoprune.from_pretrained({str(self.path)!r}): {self.why}"


def save_pretrained(
    model: nn.Module,
    path: str | Path,
    *,
    example_inputs: ExampleInputs,
    tokenizer: str | Path | Any = None,
) -> Saved:
    """Save a pruned model of transformers as a directory, so that transformers alone opens it.

    Where a configuration cannot say its sizes, since they differ from layer to layer, the directory
    opens with :func:`from_pretrained`; what is returned says which of the two, and why. What was
    written is read again, and must give the outputs of the model on ``example_inputs``.

    ``tokenizer``: directory whose tokenizer is put beside it, or a tokenizer.

    Raises UsageError for a model that is none of transformers and for a path that is not empty,
    AutopruneError if what is read computes something else.
    """
    library = transformers()
    model = unwrapped(model)
    if not isinstance(model, library.PreTrainedModel):
        raise UsageError(
            f"{type(model).__name__} is no model of transformers",
            "autoprune.save and export --to safetensors take any",
        )
    target = expand_user(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists and is not empty", "choose another path")
    make_directory(target)
    library.utils.logging.disable_progress_bar()
    try:
        with writing(target):
            saved = _written(model, target, example_inputs)
            _put_beside(tokenizer, target)
        if not _same(model, from_pretrained(target), example_inputs):
            raise AutopruneError(
                f"what was saved in {target} computes something else; it was removed",
                "report this model",
            )
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return saved


def from_pretrained(path: str | Path) -> nn.Module:
    """Open a directory that :func:`save_pretrained` wrote, or any of transformers, for evaluation.

    The model comes in its own class. No code of its own is run, and nothing is unpickled.

    Raises UsageError for anything else than such a directory, DamagedError for a damaged one.
    """
    directory = expand_user(path)
    kind, config = class_of(str(path), directory)
    if not (directory / UNEVEN).is_file():
        return load_class(str(path), directory, kind)
    made = read_cut(read_json(directory / UNEVEN), directory / UNEVEN)
    if not (directory / WEIGHTS).is_file():
        raise DamagedError(f"{directory / WEIGHTS} is missing", "copy it there again")
    try:
        with torch.random.fork_rng(devices=[]):
            dense: Any = kind(kind.config_class.from_dict(config))
    except Exception as error:  # whatever the files of strangers make the library raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedError(f"{path} describes no model: {reason:.200}") from None
    model: Any = rebuild(dense, made, directory / WEIGHTS)
    if (directory / "generation_config.json").is_file():
        model.generation_config = transformers().GenerationConfig.from_pretrained(directory)
    opened: nn.Module = model
    return opened


def _written(model: Any, target: Path, inputs: ExampleInputs) -> Saved:
    kind = type(model).__name__
    try:
        for twin in fitted(model):
            if _same(model, twin, inputs):
                _with_cache(twin).save_pretrained(target)
                return Saved(target, kind, plain=True)
        raise Uneven("no configuration of these sizes computes the same")
    except Uneven as error:
        why = str(error)
    config = copy.deepcopy(model.config)
    config.architectures = [kind]
    if model.can_generate():
        config.use_cache = True
        model.generation_config.save_pretrained(target)
    config.save_pretrained(target)
    made = recorded_cut(model)
    described = spec_json(None, made.indices, made.widths, (), made.removed)
    replace_text(target / UNEVEN, pretty(described))
    write_tensors(target / WEIGHTS, state_tensors(model))
    return Saved(target, kind, plain=False, why=why)


def _put_beside(tokenizer: Any, target: Path) -> None:
    """Copy the files of a tokenizer, or let it write them."""
    if tokenizer is None:
        return
    if not isinstance(tokenizer, (str, Path)):
        tokenizer.save_pretrained(target)
        return
    for name in TOKENIZER:
        source = expand_user(tokenizer) / name
        if source.is_file():
            shutil.copyfile(source, target / name)


def _with_cache(model: Any) -> Any:
    """Let a model generate with its cache, as it did before it was pruned."""
    if model.can_generate():
        keep_cache(model, True)
    return model


@torch.no_grad()
def _same(model: nn.Module, other: nn.Module, inputs: ExampleInputs) -> bool:
    """Whether two models give the same outputs, up to rounding."""
    other = other.to(device_of(model))
    wanted, found = (_outputs(one, inputs) for one in (model, other))
    return len(wanted) == len(found) > 0 and all(
        one.shape == two.shape
        and float((one - two).abs().max()) <= TOLERANCE * float(one.abs().max())
        for one, two in zip(wanted, found, strict=True)
    )


def _outputs(model: nn.Module, inputs: ExampleInputs) -> list[Tensor]:
    with mode(model, train=False), _cacheless(model):
        leaves = tree_leaves(call(model, inputs))
    return [leaf.double() for leaf in leaves if isinstance(leaf, Tensor) and leaf.numel()]


@contextmanager
def _cacheless(model: Any) -> Iterator[None]:
    """Keep a model from returning its cache of keys and values."""
    before = getattr(model.config, "use_cache", None)
    if before is not None:
        keep_cache(model, False)
    try:
        yield
    finally:
        if before is not None:
            keep_cache(model, before)
