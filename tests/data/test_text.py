"""Text in blocks of tokens."""

import pytest
import torch

from autoprune.data import load_data
from autoprune.data.text import has_tokenizer
from autoprune.errors import UsageError

TEXT = bytes(range(256)) * 40


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT + b"rest")
    return path


def test_blocks_are_the_bytes_of_the_file_each_in_one_split(file):
    data = load_data(f"text:{file},length=64", seed=3)
    parts = [getattr(data, name) for name in ("train", "search", "validation", "test")]
    ids = torch.cat([part.content["input_ids"] for part in parts])
    assert ids.shape == (160, 64) and ids.dtype == torch.int64
    assert torch.equal(parts[3].content["input_ids"], torch.tensor(list(TEXT)).view(-1, 64)[144:])
    assert torch.equal(parts[0].content["input_ids"][0], torch.arange(64))
    held = len(parts[1]) + len(parts[2])
    assert len(parts[0]) + held == 144 and held == 14
    same = load_data(f"text:{file},length=64,tokenizer=bytes", seed=4)
    assert torch.equal(same.test.content["input_ids"], data.test.content["input_ids"])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("text:nowhere.txt", "no text file: nowhere.txt"),
        ("text:{},length=1", "no option 'length=1'"),
        ("text:{},lines=3", "no option 'lines=3'"),
        ("text:{},length=9000", "1 blocks of 9000 tokens, too few"),
        ("text:{},tokenizer=nowhere", "no tokenizer in nowhere"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(file, spec, said):
    with pytest.raises(UsageError, match=said):
        load_data(spec.format(file))


def test_a_directory_without_a_tokenizer_and_text_of_another_coding(file, tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(UsageError, match="is not UTF-8"):
        load_data(f"text:{file},tokenizer={tmp_path}")
    file.write_text("plain " * 4000)
    with pytest.raises(UsageError, match="no tokenizer in"):
        load_data(f"text:{file},tokenizer={tmp_path}")


def test_a_tokenizer_is_named_or_not():
    assert has_tokenizer("digits") and has_tokenizer("text:a,tokenizer=bytes")
    assert not has_tokenizer("text:a,length=3")
