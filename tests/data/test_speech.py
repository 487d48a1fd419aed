"""Speech: WAV files and what is said in them."""

import json
import wave

import numpy as np
import pytest
import torch

from autoprune.data import load_data, speech
from autoprune.data.named_task import resolve_task
from autoprune.errors import UsageError
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.hugging_face import load_pretrained
from tests.real.stubs import declare

transformers = pytest.importorskip("transformers", reason="pip install transformers")
declare()

LETTERS = "abcdef"


def sound(path, values, rate=16_000, channels=1):
    with wave.open(str(path), "wb") as stream:
        stream.setparams((channels, 2, rate, 0, "NONE", ""))
        stream.writeframes(np.asarray(values, "<i2").tobytes())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a small recognizer, sounds of 300 to 699 samples, and a table of them."""
    torch.manual_seed(0)
    place, random = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    words = {"<pad>": 0, "<unk>": 1, "|": 2} | {one: 3 + at for at, one in enumerate(LETTERS)}
    (place / "vocab.json").write_text(json.dumps(words))
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "word_delimiter_token": "|"}
    transformers.Wav2Vec2CTCTokenizer(str(place / "vocab.json"), **special).save_pretrained(place)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "num_conv_pos_embeddings": 4, "pad_token_id": 0}
    convolutions = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8)}
    config = transformers.Wav2Vec2Config(
        **sizes, **convolutions, vocab_size=9, num_conv_pos_embedding_groups=2
    )
    transformers.Wav2Vec2ForCTC(config).save_pretrained(place)
    rows = ["audio,text"]
    for at in range(40):
        sound(place / f"{at}.wav", random.integers(-9000, 9000, 300 + at * 10))
        rows.append(f"{at}.wav,{''.join(random.choice(list(LETTERS), 1 + at % 4))}")
    (place / "rows.csv").write_text("\n".join(rows))
    return place


def test_sounds_have_mean_0_and_variance_1_and_silence_behind(place):
    data = load_data(f"speech:{place}/rows.csv,tokenizer={place}")
    assert data.train.content.keys() == {"input_values", "labels"}
    lengths = []
    for split in data.splits.values():
        for values in split.content["input_values"]:
            own = values[: int(values.nonzero().max()) + 1]
            assert abs(float(own.mean())) < 1e-3 and float(own.var()) == pytest.approx(1, abs=0.01)
            lengths.append(len(own))
    assert sorted(lengths) == list(range(300, 700, 10))


def test_the_loss_is_that_of_the_library_and_masked_columns_count_not(place, tmp_path):
    model, task = load_pretrained(str(place), {}), resolve_task("ctc")
    data = load_data(f"speech:{place}/rows.csv,tokenizer={place}")
    check_compatible(model, data, task)
    batch = next(data.train.batches(6))
    model.config.ctc_loss_reduction = "sum"
    with torch.no_grad():
        theirs = model(**batch).loss
        outputs = model(**task.inputs(batch))
    lengths = (batch["labels"] >= 0).sum(1)
    assert float((task.losses(outputs, batch) * lengths).sum()) == pytest.approx(
        float(theirs), rel=1e-5
    )
    for name in ("vocab.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((place / name).read_bytes())
    asked = {"return_attention_mask": True, "do_normalize": False, "sampling_rate": 16_000}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(asked))
    masked = load_data(f"speech:{place}/rows.csv,tokenizer={tmp_path}").train.content
    values, there = masked["input_values"], masked["attention_mask"]
    assert float(values.abs().max()) < 1 and not values[there == 0].any()
    assert set(there.sum(1).tolist()) <= set(range(300, 700, 10))


def test_a_sound_that_ends_within_a_sample_is_read_to_there(place):
    (place / "odd.wav").write_bytes((place / "0.wav").read_bytes()[:-1])
    (place / "odd.csv").write_text("audio,text\n" + "odd.wav,a\n" * 20)
    values = load_data(f"speech:{place}/odd.csv,tokenizer={place}").train.content["input_values"]
    assert values.shape[1] == 299


def test_too_much_for_the_memory_is_refused(place, monkeypatch):
    monkeypatch.setattr(speech, "HELD", 40 * 690 * 4 - 1)
    with pytest.raises(UsageError, match=r"40 sounds of up to 0 s take 0\.0 GB"):
        load_data(f"speech:{place}/rows.csv,tokenizer={place}")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("gone.wav,a", "no sound .*gone.wav"),
        ("rows.csv,a", "rows.csv is no WAV file"),
        ("slow.wav,a", "has 8000 samples a second, 1 channels and 16 bits"),
        ("two.wav,a", "2 channels"),
        ("empty.wav,a", "empty.wav is empty"),
        ("cut.wav,a", "cut.wav is no WAV file: it is cut off"),
        ("a\0.wav,a", "is no WAV file"),
        ("", r"bad.csv has no rows"),
        ("0.wav,", "lacks a text or a target in row 1 .*columns 'audio' and 'text'"),
    ],
)
def test_sounds_that_cannot_be_read_are_said_in_a_line(place, rows, said):
    sound(place / "slow.wav", [1, 2], rate=8000)
    sound(place / "two.wav", [1, 2], channels=2)
    sound(place / "empty.wav", [])
    (place / "cut.wav").write_bytes((place / "0.wav").read_bytes()[:30])
    (place / "bad.csv").write_text("audio,text\n" + f"{rows}\n" * 20)
    with pytest.raises(UsageError, match=said):
        load_data(f"speech:{place}/bad.csv,tokenizer={place}")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("speech:rows.csv", "speech has one option"),
        ("speech:rows.csv,length=3", "speech has one option"),
        ("speech:nowhere.csv,tokenizer=x", "no table of speech: nowhere.csv"),
    ],
)
def test_wrong_options_are_said_in_a_line(spec, said):
    with pytest.raises(UsageError, match=said):
        load_data(spec)
