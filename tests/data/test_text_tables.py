"""Texts of data sets that the library datasets saved."""

import sys

import pytest
import torch

from autoprune.data import load_data
from autoprune.errors import UsageError
from tests.word_tokenizer import reviews

datasets = pytest.importorskip("datasets", reason="pip install 'autoprune[data]'")

ROWS = reviews(80)
NAMES = ["praise", "blame"]


@pytest.fixture(autouse=True, scope="module")
def quiet():
    datasets.disable_progress_bars()


def labeled(rows, text="text"):
    features = datasets.Features(
        {text: datasets.Value("string"), "label": datasets.ClassLabel(names=NAMES)}
    )
    labels = [NAMES.index(label) for _, label in rows]
    return datasets.Dataset.from_dict({text: [one for one, _ in rows], "label": labels}, features)


def rows_of(split):
    content = split.content
    return [
        (bytes(ids[mask == 1].tolist()).decode(), NAMES[int(label)])
        for ids, mask, label in zip(*content.values(), strict=True)
    ]


def test_the_parts_and_the_classes_of_a_saved_data_set_stay(tmp_path):
    parts = {"train": labeled(ROWS[:60], "review"), "test": labeled(ROWS[60:], "review")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    data = load_data(f"text:{tmp_path / 'saved'},text=review")
    assert rows_of(data.test) == ROWS[60:]
    held = [*rows_of(data.train), *rows_of(data.search), *rows_of(data.validation)]
    assert sorted(held) == sorted(ROWS[:60])
    assert data.remarks == ("classes in the order of the data set: praise, blame",)
    with pytest.raises(UsageError, match="saved, train lacks a text or a label in row 1"):
        load_data(f"text:{tmp_path / 'saved'}")


def test_parquet_alone_and_in_a_directory(tmp_path):
    table = datasets.Dataset.from_dict({"text": [text for text, _ in ROWS], "label": [3, 0] * 40})
    table.to_parquet(tmp_path / "train.parquet")
    for place in (tmp_path, tmp_path / "train.parquet"):
        data = load_data(f"text:{place}")
        assert data.classes == 4 and len(data.train) + len(data.test) < 80
        assert set(data.train.content["labels"].tolist()) == {0, 3}


def test_texts_alone_are_read_as_a_file_with_a_line_for_each(tmp_path):
    texts = [text for text, _ in ROWS]
    datasets.Dataset.from_dict({"text": texts}).save_to_disk(tmp_path / "saved")
    (tmp_path / "lines.txt").write_text("\n".join(texts))
    data, same = (load_data(f"text:{tmp_path / name},length=16") for name in ("saved", "lines.txt"))
    for one, other in zip(data.splits.values(), same.splits.values(), strict=True):
        assert torch.equal(one.content["input_ids"], other.content["input_ids"])
    assert "its texts are read as one" in data.remarks[0]


def test_rows_without_a_label_and_a_lacking_library_are_said_in_a_line(tmp_path, monkeypatch):
    table = labeled(ROWS).to_dict()
    table["label"][7] = -1  # as test splits of the hub have it
    datasets.Dataset.from_dict(table).save_to_disk(tmp_path / "saved")
    with pytest.raises(UsageError, match="lacks a text or a label in row 8"):
        load_data(f"text:{tmp_path / 'saved'}")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "cat.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="others holds no table of texts"):
        load_data(f"text:{tmp_path / 'others'}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match="datasets is not installed"):
        load_data(f"text:{tmp_path / 'saved'}")


def test_the_mark_that_spreadsheets_write_first_is_no_part_of_a_name(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n" + "good,a\nbad,b\n" * 10, "utf-8-sig")
    assert load_data(f"text:{tmp_path}/rows.csv").classes == 2


@pytest.mark.parametrize(
    ("row", "option", "said"),
    [
        (r'{"text": "\ud800", "label": 1}', "", "half a character in row 1"),
        ('{"text": "good", "label": 99999999999}', "", "label 99999999999 is no class"),
        ('{"text": "good", "label": 1}', ",length=" + "9" * 30, "text has no option"),
    ],
)
def test_values_beyond_reason_are_said_in_a_line(tmp_path, row, option, said):
    (tmp_path / "rows.jsonl").write_text(f"{row}\n" * 20)
    with pytest.raises(UsageError, match=said):
        load_data(f"text:{tmp_path}/rows.jsonl{option}")
