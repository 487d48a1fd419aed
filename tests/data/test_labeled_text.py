"""Tables of labeled texts."""

import csv
import json

import pytest
import torch

from autoprune.data import load_data
from autoprune.errors import AutopruneError, UsageError
from tests.real.stubs import declare
from tests.word_tokenizer import SPECIAL, WORDS, reviews, word_tokenizer

ROWS = [*reviews(38), ("a, very \"long\"\nfilm", "blame"), ("naïve", "praise")]  # fmt: skip


def write(path):
    with path.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix == ".jsonl":
            for text, label in ROWS:
                stream.write(json.dumps({"label": label, "id": 3, "text": text}) + "\n\n")
            return path
        writer = csv.writer(stream, dialect="excel" if path.suffix == ".csv" else "excel-tab")
        writer.writerow(["label", "id", "text"])
        writer.writerows([label, 3, text] for text, label in ROWS)
    return path


def texts_of(data):
    found = []
    for split in data.splits.values():
        content = split.content
        for ids, mask, label in zip(*content.values(), strict=True):
            assert mask.tolist() == sorted(mask.tolist(), reverse=True)
            assert not ids[mask == 0].any()
            text = bytes(ids[mask == 1].tolist()).decode()
            found.append((text, ("blame", "praise")[int(label)]))
    return found


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_every_row_is_in_one_split_with_its_label(tmp_path, ending):
    file = write(tmp_path / f"rows.{ending}")
    data = load_data(f"text:{file},tokenizer=bytes", seed=1)
    assert sorted(texts_of(data)) == sorted(ROWS)
    assert data.classes == 2
    assert data.remarks == ("classes in the order of the alphabet: blame, praise",)
    assert list(data.train.content) == ["input_ids", "attention_mask", "labels"]
    other = load_data(f"text:{file},tokenizer=bytes", seed=2)
    assert torch.equal(other.test.content["input_ids"], data.test.content["input_ids"])


def test_texts_are_cut_to_the_length(tmp_path):
    data = load_data(f"text:{write(tmp_path / 'rows.csv')},length=6")
    assert data.train.content["input_ids"].shape[1] == 6
    assert {text for text, _ in texts_of(data)} >= {ROWS[0][0][:6], ROWS[1][0][:6]}


def test_a_tokenizer_and_the_classes_of_its_model(tmp_path):
    pytest.importorskip("transformers")
    declare()
    place = tmp_path / "model"
    word_tokenizer().save_pretrained(place)
    names = {"id2label": {"1": "blame", "0": "praise", "2": "neither"}}
    (place / "config.json").write_text(json.dumps(names))
    data = load_data(f"text:{write(tmp_path / 'rows.csv')},tokenizer={place},length=9")
    said = "classes in the order of the model's configuration: praise, blame, neither"
    assert data.remarks == (said,) and data.classes == 3
    known = [*SPECIAL, *WORDS]
    for ids, mask, label in zip(*data.train.content.values(), strict=True):
        words = [known[place] for place in ids[mask == 1]]
        assert words[0] == "[CLS]" and words[-1] == "[SEP]" and len(words) <= 9
        assert not ids[mask == 0].any()
        if len(words) < 9 and "[UNK]" not in words:
            assert ("good" in words) == (int(label) == 0)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text,label\nx,1\n", "has 1 rows, too few"),
        ("a.csv", "text,kind\n" + "x,1\n" * 30, "has 0 blocks of 128 tokens"),
        ("a.csv,label=kind", "text,label\n" + "x,1\n" * 30, "lacks a text or a label in row 1"),
        ("a.csv", "text,label\n" + "x,1\n" * 30 + "x\n", "lacks a text or a label in row 31"),
        ("a.csv", "text,label\n" + "x,1\n" * 30 + ",1\n", "has no text in row 31"),
        ("a.tsv", "text\tlabel\n" + "x\t\n" * 30, "lacks a text or a label in row 1"),
        ("a.jsonl", "[1]\n", "line 1 of .* is no object"),
        ("a.jsonl", '{"text": "a"\n', "line 1 of"),
        ("a.jsonl", '{"text": "a", "label": 1.5}\n', "lacks a text or a label in row 1"),
    ],
)
def test_rows_that_make_no_sense_are_said_in_a_line(tmp_path, name, content, said):
    (tmp_path / name.partition(",")[0]).write_text(content)
    with pytest.raises(AutopruneError, match=said) as caught:
        load_data(f"text:{tmp_path / name}")
    assert "\n" not in str(caught.value)


def test_another_coding_and_a_mask_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,label\n" + b"\xff,1\n" * 30)
    with pytest.raises(UsageError, match="is not UTF-8"):
        load_data(f"text:{tmp_path / 'a.csv'}")
    with pytest.raises(UsageError, match="has labels, and mask= makes others"):
        load_data(f"text:{write(tmp_path / 'b.csv')},mask=0.2")


def test_whole_numbers_are_classes_as_they_are(tmp_path):
    rows = "".join(f"text {place},{place % 4}\n" for place in range(40))
    (tmp_path / "a.csv").write_text("text,label\n" + rows)
    data = load_data(f"text:{tmp_path / 'a.csv'}")
    assert data.classes == 4 and not data.remarks
    for ids, mask, label in zip(*data.train.content.values(), strict=True):
        assert int(bytes(ids[mask == 1].tolist()).decode().split()[1]) % 4 == int(label)
