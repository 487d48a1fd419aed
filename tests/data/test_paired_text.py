"""Pairs of texts for encoder-decoders: teacher forcing, and what counts."""

import csv
import json
import math

import pytest
import torch

from autoprune.data import load_data
from autoprune.data.named_task import resolve_task
from autoprune.errors import UsageError
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.hugging_face import load_pretrained
from tests.real.stubs import declare
from tests.word_tokenizer import SPECIAL, WORDS, reviews, word_tokenizer

transformers = pytest.importorskip("transformers", reason="pip install transformers")
declare()

PAIRS = [(text, " ".join(sorted(text.split())[:4])) for text, _ in reviews(60)]
SIZES = {"vocab_size": len(SPECIAL) + len(WORDS), "d_model": 16}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a small T5, its tokenizer and pairs of texts."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("t5")
    config = transformers.T5Config(
        **SIZES, d_kv=4, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=4
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(place)
    word_tokenizer().save_pretrained(place)
    with (place / "pairs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("text", "target"), *PAIRS])
    return place


@pytest.fixture(scope="module")
def data(place):
    return load_data(f"text:{place}/pairs.csv,tokenizer={place}", seed=1)


def test_a_decoder_is_fed_what_it_should_have_said_so_far(data):
    known, found = [*SPECIAL, *WORDS], []
    for split in data.splits.values():
        content = split.content
        for row in range(len(split)):
            labels, told = content["labels"][row], content["decoder_input_ids"][row]
            count = int((labels != -100).sum())
            assert told[0] == 4 and told[1:count].tolist() == labels[: count - 1].tolist()
            there = content["decoder_attention_mask"][row].tolist()
            assert there == [1] * count + [0] * (len(labels) - count)
            assert known[labels[count - 1]] == "[SEP]"
            source = content["input_ids"][row][content["attention_mask"][row] == 1]
            said = [[known[one] for one in ids[1:-1]] for ids in (source, labels[:count])]
            found.append(tuple(" ".join(words) for words in said))
    assert sorted(found) == sorted(PAIRS)


@pytest.mark.parametrize("family", ["T5", "Bart"])
def test_perplexity_is_that_of_the_library(place, data, family):
    model = load_pretrained(str(place), {})
    if family == "Bart":
        more = {f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers",)}
        config = transformers.BartConfig(
            **SIZES, **more, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=24, decoder_ffn_dim=24, decoder_start_token_id=4, use_cache=False,
        )  # fmt: skip
        model = transformers.BartForConditionalGeneration(config).eval()
    task = resolve_task("seq2seq-lm")
    check_compatible(model, data, task)
    batch = next(data.train.batches(9))
    with torch.no_grad():
        outputs = model(**task.inputs(batch))
        theirs = model(**batch).loss
    assert "past_key_values" not in outputs  # the cache is off, that of T5's decoder, too
    score = task.score_of(task.evidence(outputs, batch))
    assert score == pytest.approx(math.exp(-float(theirs)), rel=1e-5)
    assert task.readings(score)["perplexity"] == pytest.approx(math.exp(float(theirs)), rel=1e-5)


def test_pairs_are_for_their_task_and_it_for_pairs(place, data):
    model = load_pretrained(str(place), {})
    for name, said in {
        "causal-lm": "--task seq2seq-lm",
        "classification": "texts seq2seq-lm",
    }.items():
        with pytest.raises(UsageError, match=said):
            check_compatible(model, data, resolve_task(name))
    others = load_data(f"text:{place}/pairs.csv,tokenizer={place},label=target")
    with pytest.raises(UsageError, match="a batch says nothing of decoder_input_ids"):
        check_compatible(model, others, resolve_task("seq2seq-lm"))


def test_what_does_not_fit_is_said_in_a_line(place, tmp_path):
    task, spec = resolve_task("seq2seq-lm"), f"text:{place}/pairs.csv"
    with pytest.raises(UsageError, match="a batch says nothing of decoder_input_ids"):
        task.inputs({"input_ids": torch.zeros(2, 3), "labels": None})
    with pytest.raises(UsageError, match="bytes do not say where one starts"):
        load_data(spec)
    with pytest.raises(UsageError, match="has targets, and mask="):
        load_data(f"{spec},tokenizer={place},mask=0.2")
    with pytest.raises(UsageError, match="a label or a target, not both"):
        load_data(f"{spec},label=text,target=target")
    word_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="does not say what its decoder starts with"):
        load_data(f"{spec},tokenizer={tmp_path}")
    (tmp_path / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": 2}))
    told = load_data(f"{spec},tokenizer={tmp_path}").train.content["decoder_input_ids"]
    assert set(told[:, 0].tolist()) == {2}
