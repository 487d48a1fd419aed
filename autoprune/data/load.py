"""Loading of data (``--data``): a :class:`Data` from a name, a path or Python objects."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from autoprune.data.custom import from_objects, from_pictures
from autoprune.data.digits import digits
from autoprune.data.images import Images, from_directory, from_hub
from autoprune.data.lines import lines
from autoprune.data.normalization import image_form
from autoprune.data.overlap import overlaps, shared
from autoprune.data.pictures import Pictures
from autoprune.data.speech import PREFIX as SPEECH
from autoprune.data.speech import from_speech
from autoprune.data.split import Split
from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
from autoprune.data.text import PREFIX, from_text
from autoprune.errors import UsageError
from autoprune.foundation import trust
from autoprune.foundation.files import expand_user
from autoprune.foundation.user_code import call, is_factory, load, refuse_malformed

EMBEDDED = {"digits": digits, "ocr-lines": lines}
"""Data that need no file: name -> function of the seed."""

LARGEST = 4_096
"""Most pixels a side that images are brought to."""

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def load_data(spec: object, seed: int = 0, resize: int | None = None) -> Data:
    """Load four disjoint splits.

    ``spec`` is one of

    - ``"digits"``, embedded, or ``"ocr-lines"``, rendered;
    - a directory in the layout of the Hugging Face hub, or of images in one sub-directory per class
      (directly, or inside ``train/`` and ``test/``);
    - the name of a data set on the hub;
    - ``"text:FILE"``, text in blocks of tokens (:mod:`autoprune.data.text`);
    - ``"speech:FILE.csv"``, sounds and what is said in them (:mod:`autoprune.data.speech`);
    - ``"file.py:function"``, a function that returns any of the objects below;
    - python objects: a mapping with the key ``train`` and any of ``search``, ``validation`` and
      ``test``, perhaps ``train_plain``; a tuple (train, test) or (train, validation, test); or one
      source to cut up. Each is a DataLoader, a Dataset, a tuple of tensors or arrays (X, y), or an
      iterable of batches. Float tensors are passed on as they are, uint8 images [N, C, H, W] are
      normalized;
    - a :class:`Data`, returned as it is.

    Training reads a Dataset or DataLoader anew in every epoch; all other samples are fixed, without
    augmentation if possible (docs/data.md, :mod:`autoprune.data.custom`). Random states are left as
    they were. ``resize`` brings images from disk or the hub to so many pixels a side
    (:func:`autoprune.data.pictures.decode`). Splits that the source lacks are cut out of it
    (:func:`autoprune.data.splitting.cuts`). ``seed`` divides the held-out samples into search and
    validation; it never moves one into or out of the training or test split.

    Raises UsageError, in one line, for data that cannot be found or used.
    """
    if resize is not None and not 1 <= resize <= LARGEST:
        raise UsageError(f"images are resized to 1 to {LARGEST} pixels a side, not {resize}")
    if isinstance(spec, Data):
        _refuse_resize(resize, "data that are loaded")
        return spec
    if isinstance(spec, Path):
        spec = str(spec)
    if not isinstance(spec, str):
        _refuse_resize(resize, "objects")
        return from_objects("custom", spec, seed)
    return _named(spec, seed, resize)


def _named(spec: str, seed: int, resize: int | None) -> Data:
    if spec in EMBEDDED:
        _refuse_resize(resize, spec)
        return EMBEDDED[spec](seed)
    if spec.startswith(PREFIX):
        _refuse_resize(resize, "text")
        return from_text(spec, seed)
    if spec.startswith(SPEECH):
        _refuse_resize(resize, "speech")
        return from_speech(spec, seed)
    directory = expand_user(spec)
    if directory.is_dir():
        return _from_images(from_directory(directory, resize), seed)
    if is_factory(spec):
        _refuse_resize(resize, "a function's samples")
        function, factory = load(spec)
        trust.allow(factory)
        made = call(factory.name, function)
        return made if isinstance(made, Data) else from_objects(spec, made, seed)
    refuse_malformed(spec)
    close = get_close_matches(spec.lower(), EMBEDDED, n=1, cutoff=0.8)
    if close:
        raise UsageError(f"no data called {spec!r}", f"did you mean {close[0]}?")
    if HUB_NAME.fullmatch(spec) and not spec.startswith("."):
        return _from_images(from_hub(spec, resize), seed)
    raise UsageError(f"no such directory: {spec}", "digits, a directory, a hub name or file.py:f")


def _refuse_resize(resize: int | None, what: str) -> None:
    if resize is not None:
        raise UsageError(
            f"{what} cannot be resized", "--resize is for images on disk or on the hub"
        )


def _from_images(images: Images, seed: int) -> Data:
    parts = images.parts
    held = {key: part for key, part in parts.items() if not isinstance(part, Pictures)}
    if len(held) < len(parts):
        return replace(from_pictures(images, seed), class_names=images.classes)
    form = image_form(images.name, held["train"][0])
    data = make_splits(images.name, held, seed, form=form, classes=len(images.classes))
    splits = {key: Split(content) for key, content in held.items()}
    train = splits.pop("train")
    remarks = tuple(shared(key) for key, split in splits.items() if overlaps(train, split))
    return replace(data, remarks=remarks, class_names=images.classes)
