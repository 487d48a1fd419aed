"""Speech as data: ``speech:FILE.csv``, a table of sounds and what is said in them."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from autoprune.data.language_modeling import IGNORED
from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
from autoprune.data.text_tables import FILES, LEAST, Columns, padded, parted, read_tables
from autoprune.data.tokenizers import load_tokenizer
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import expand_user, read_json
from autoprune.foundation.progress import slow_phase

PREFIX: Final = "speech:"

AUDIO: Final = "audio"
"""Column with the files of sound, beside ``text``."""

RATE: Final = 16_000
"""Samples a second that recognizers take, unless the configuration beside them says another."""

MANY: Final = 500
"""From so many sounds on, reading takes long enough to be shown as progress."""

HELD: Final = 2**31
"""Most bytes of sounds, padded, that are held in memory."""

EPSILON: Final = 1e-7
"""Added to variances, as the library transformers does."""

HOW: Final = "write speech:FILE.csv,tokenizer=DIRECTORY"


@dataclass(frozen=True)
class Form:
    """What a recognizer takes: ``rate`` in samples a second, ``normalized`` to mean 0, variance 1.

    ``masked``: whether it is told which samples are padding; others hear silence there.
    """

    rate: int = RATE
    normalized: bool = True
    masked: bool = False

    @classmethod
    def beside(cls, directory: Path) -> Form:
        """Read ``preprocessor_config.json`` of a directory, if it is there."""
        file = directory / "preprocessor_config.json"
        found = read_json(file) if file.is_file() else {}
        if not isinstance(found, dict):
            raise DamagedError(f"{file} is no configuration", "save the processor again")
        rate = found.get("sampling_rate", RATE)
        return cls(
            rate if type(rate) is int else RATE,
            bool(found.get("do_normalize", True)),
            bool(found.get("return_attention_mask", False)),
        )


def from_speech(spec: str, seed: int) -> Data:
    """Read ``speech:FILE.csv,tokenizer=DIRECTORY``: columns ``audio`` and ``text``.

    ``audio`` names WAV files of 16 bits and one channel, from the place of the table on. The
    tokenizer of the directory makes characters of the texts. A batch is ``{"input_values": float32
    [B, S], "labels": int64 [B, L]}``, with ``attention_mask`` [B, S] if the recognizer takes one; S
    is the length of the longest sound. Labels of padding are -100.

    Raises UsageError, in one line, for files that cannot be read and options that there are not.
    """
    place, *options = spec.removeprefix(PREFIX).split(",")
    match [option.partition("=") for option in options]:
        case [("tokenizer", "=", directory)] if directory:
            pass
        case _:
            raise UsageError("speech has one option, the directory of a recognizer", HOW)
    file = expand_user(place)
    if file.suffix not in FILES or not file.is_file():
        raise UsageError(f"no table of speech: {place}", f"a .csv, .tsv or .jsonl; {HOW}")
    parts = read_tables(file, Columns(text=AUDIO, target="text"))
    sounds, texts = parts["train"].texts, parts["train"].beside
    if not sounds:
        raise UsageError(f"{file} has no rows", f"give {LEAST} or more")
    tokenizer, form = load_tokenizer(directory), Form.beside(expand_user(directory))
    tokens: Sequence[list[int]] = tokenizer(texts)["input_ids"]
    if not all(tokens):
        raise UsageError(f"{file} says nothing in row {[*map(bool, tokens)].index(False) + 1}")
    content = _heard([file.parent / sound for sound in sounds], form)
    content["labels"] = padded(tokens, IGNORED)[0]
    return make_splits(f"{file.name}, {len(texts)} sounds", parted(content, parts), seed)


def _heard(files: Sequence[Path], form: Form) -> dict[str, Tensor]:
    """Return sounds padded with silence, and perhaps which samples are no padding, [B, S]."""
    sounds: list[np.ndarray[Any, Any]] = []
    with slow_phase("listen", len(files), least=MANY) as advance:
        for file in files:
            sounds.append(_sound(file, form))
            advance(1)
    lengths = torch.tensor([len(sound) for sound in sounds])
    size = 4 * len(sounds) * int(lengths.max())
    if size > HELD:
        raise UsageError(
            f"{len(sounds):,} sounds of up to {int(lengths.max()) / form.rate:.0f} s take"
            f" {size / 1e9:.1f} GB in memory",
            "leave out the longest, or give a Dataset of yours, which is read as needed:"
            " --data file.py:function",
        )
    values = torch.zeros(len(sounds), int(lengths.max()))
    for row, sound in zip(values, sounds, strict=True):
        row[: len(sound)] = torch.from_numpy(sound)
    there = (torch.arange(values.shape[1]) < lengths[:, None]).long()
    return {"input_values": values, **({"attention_mask": there} if form.masked else {})}


def _sound(file: Path, form: Form) -> np.ndarray[Any, Any]:
    """Read a WAV file as float32, [samples]; raise UsageError for any of another form."""
    try:
        with wave.open(str(file), "rb") as stream:
            found = (stream.getframerate(), stream.getnchannels(), 8 * stream.getsampwidth())
            content = stream.readframes(stream.getnframes())
    except FileNotFoundError:
        raise UsageError(
            f"no sound {file}", "names are read from the place of the table on"
        ) from None
    except (wave.Error, EOFError, OSError, ValueError) as error:
        raise UsageError(f"{file} is no WAV file: {str(error) or 'it is cut off'}") from None
    if found != (form.rate, 1, 16):
        raise UsageError(
            f"{file} has {found[0]} samples a second, {found[1]} channels and {found[2]} bits",
            f"the recognizer takes {form.rate} samples, one channel and 16 bits: convert it first",
        )
    values = np.frombuffer(content[: len(content) // 2 * 2], "<i2").astype(np.float32) / 32768
    if not len(values):
        raise UsageError(f"{file} is empty", "drop it")
    if form.normalized:
        values = (values - values.mean()) / np.sqrt(values.var() + EPSILON)
    return values
