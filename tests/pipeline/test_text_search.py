"""Searches on models that read text: classifiers, models with a mask; and what does not fit."""

import csv
import json

import pytest
import torch

from autoprune.cli.main import main
from autoprune.networks.pretrained import from_pretrained
from tests.real.stubs import declare
from tests.word_tokenizer import SPECIAL, WORDS, reviews, word_tokenizer

transformers = pytest.importorskip("transformers", reason="pip install transformers")
declare()


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A directory with a small BERT, its tokenizer, labeled texts and plain ones."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        **dict(vocab_size=len(SPECIAL) + len(WORDS), hidden_size=24, num_hidden_layers=2),
        **dict(num_attention_heads=4, intermediate_size=48, max_position_embeddings=32),
        **dict(id2label={0: "praise", 1: "blame"}, hidden_dropout_prob=0.0),
    )
    transformers.BertForSequenceClassification(config).save_pretrained(place)
    transformers.BertForMaskedLM(config).save_pretrained(place / "masked")
    for one in (place, place / "masked"):
        word_tokenizer().save_pretrained(one)
    with (place / "reviews.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *reviews(240)])
    (place / "plain.txt").write_text(" ".join(text for text, _ in reviews(900)))
    return place


def searched(words, run, capsys):
    words += f" --budget 0.6flops --agent uniform --evaluations 1 --no-baseline --run {run}"
    assert main(words.split()) == 0
    return capsys.readouterr().out, json.loads((run / "result.json").read_text())


def test_a_classifier_of_texts_is_pruned_and_saved_with_its_tokenizer(bert, tmp_path, capsys):
    words = f"search --model hf:{bert} --data text:{bert}/reviews.csv,length=16,tokenizer={bert}"
    shown, found = searched(words + " --finetune-epochs 20", tmp_path / "run", capsys)
    assert "accuracy, test split" in shown and "classes in the order of the model's" in shown
    assert found["recovered"]["accuracy"] > 0.9 > found["base"]["accuracy"]  # it was not trained
    assert main(f"export --run {tmp_path / 'run'} --to transformers".split()) == 0
    assert "opens with" in capsys.readouterr().out
    place = tmp_path / "run" / "transformers"
    again = from_pretrained(place)
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    batch = tokenizer(["the film was good", "bad"], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert again(**batch).logits.argmax(1).tolist() == [0, 1]
    assert again.config.id2label == {0: "praise", 1: "blame"}


def test_hidden_tokens_are_what_a_model_with_a_mask_is_scored_on(bert, tmp_path, capsys):
    words = f"search --model hf:{bert},head=masked-lm --task masked-lm --finetune-epochs 2"
    words += f" --data text:{bert}/plain.txt,length=16,tokenizer={bert},mask=0.2"
    assert main(f"{words} --budget 0.6flops --run {tmp_path / 'run'}".split()) == 2
    error = capsys.readouterr().err
    assert "has no weights for cls.predictions.bias" in error and error.count("\n") < 4
    words = words.replace(f"hf:{bert},head=masked-lm", f"hf:{bert}/masked")
    shown, found = searched(words, tmp_path / "run", capsys)
    assert "1 / perplexity of hidden" in shown
    dense, tuned = found["base"]["other"]["perplexity"], found["recovered"]["other"]["perplexity"]
    assert tuned < dense
    assert main(f"export --run {tmp_path / 'run'} --to transformers".split()) == 0
    again = from_pretrained(tmp_path / "run" / "transformers")
    assert type(again).__name__ == "BertForMaskedLM"


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        ("plain.txt,length=40,tokenizer={}", "40 tokens in a row, the model 32", "length=32"),
        ("plain.txt,length=16,tokenizer=bytes", "has a tokenizer of its own", "={}/masked"),
        ("plain.txt,length=16,tokenizer={}/wide", "token 90, the model knows 19", "another model"),
    ],
)
def test_text_that_does_not_fit_is_refused_in_a_line(bert, capsys, data, said, hint):
    from tokenizers import Tokenizer, models, pre_tokenizers

    inner = Tokenizer(models.WordLevel({"?": 90}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    wide = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="?")
    wide.save_pretrained(bert / "wide")
    words = f"search --model hf:{bert}/masked --task masked-lm --budget 0.6flops"
    assert main([*words.split(), "--data", f"text:{bert}/{data.format(bert)}"]) == 2
    error = capsys.readouterr().err
    assert said in error and hint.format(bert) in error and "Traceback" not in error
