"""Hidden tokens and classes of tokens: what counts."""

import math

import pytest
import torch

from autoprune.data import load_data
from autoprune.data.masked_lm import MaskedLanguageModeling
from autoprune.data.named_task import resolve_task
from autoprune.data.token_classification import TokenClassification
from autoprune.errors import UsageError
from autoprune.training.distillation import distillation, teachable
from tests.real.stubs import declare
from tests.word_tokenizer import SPECIAL, WORDS, reviews, word_tokenizer

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def chances(logits, labels, places):
    return [float(logits[at].log_softmax(0)[labels[at]]) for at in places]


def test_only_hidden_tokens_count_each_at_its_own_place():
    torch.manual_seed(0)
    task = resolve_task("masked-lm")
    assert task == MaskedLanguageModeling()
    logits, labels = torch.randn(2, 4, 6), torch.full((2, 4), -100)
    places = [(0, 1), (0, 3), (1, 0)]
    for at in places:
        labels[at] = 2
    batch = {"input_ids": torch.zeros(2, 4).long(), "labels": labels, "attention_mask": MASK}
    found = chances(logits, labels, places)
    assert task.losses({"logits": logits}, batch).tolist() == pytest.approx(
        [-(found[0] + found[1]) / 2, -found[2]]
    )
    score = task.score_of(task.evidence(logits, batch))
    assert score == pytest.approx(math.exp(sum(found) / 3))
    assert task.inputs(batch).keys() == {"input_ids", "attention_mask"}
    labels[1, 3] = 5  # padding
    assert task.score_of(task.evidence(logits, batch)) == pytest.approx(score)
    with pytest.raises(UsageError, match="of no token that it is hidden"):
        task.loss(logits, {"input_ids": labels})


def test_classes_of_tokens_without_padding():
    torch.manual_seed(0)
    task = resolve_task("token-classification")
    assert task == TokenClassification()
    logits, labels = torch.randn(2, 4, 3), torch.randint(0, 3, (2, 4))
    labels[0, 2] = -100
    places = [(0, 0), (0, 1), (0, 3), (1, 0), (1, 1)]
    batch = {"input_ids": labels, "attention_mask": MASK, "labels": labels}
    found = chances(logits, labels, places)
    assert float(task.loss({"logits": logits}, batch)) == pytest.approx(-sum(found) / 5)
    right = [float(logits[at].argmax() == labels[at]) for at in places]
    scores = task.score({"logits": logits}, batch)
    assert scores.tolist() == pytest.approx([sum(right[:3]) / 3, sum(right[3:]) / 2])
    without = {key: value for key, value in batch.items() if key != "attention_mask"}
    assert float(task.loss(logits, without)) != pytest.approx(-sum(found) / 5)
    with pytest.raises(UsageError, match="not logits"):
        task.loss(logits[:, 0], batch)


@pytest.mark.parametrize("name", ["causal-lm", "masked-lm", "token-classification"])
def test_a_teacher_softens_the_classes_of_tokens_that_count(name):
    torch.manual_seed(0)
    task = resolve_task(name)
    assert teachable(task)
    student, teacher = torch.randn(2, 4, 6), torch.randn(2, 4, 6)
    ids = torch.randint(0, 6, (2, 4))
    batch = {"input_ids": ids, "labels": ids, "attention_mask": MASK}
    places = [(0, 0), (0, 1), (0, 2), (1, 0)] if name == "causal-lm" else MASK.nonzero().tolist()
    wanted = []
    for row, place in places:
        p = (teacher[row, place] / 2).softmax(0)
        wanted.append(float((p * (p.log() - (student[row, place] / 2).log_softmax(0))).sum()))
    found = distillation(student, teacher, batch, task, 2.0)
    assert float(found) == pytest.approx(4 * sum(wanted) / len(wanted), rel=1e-5)


def test_the_same_share_of_a_text_is_hidden_every_time(tmp_path):
    pytest.importorskip("transformers")
    declare()
    word_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "text.txt").write_text(" ".join(text for text, _ in reviews(900)))
    spec = f"text:{tmp_path / 'text.txt'},length=32,tokenizer={tmp_path / 'model'}"
    plain = load_data(spec).train.content["input_ids"]
    content = load_data(f"{spec},mask=0.2").train.content
    assert all(
        torch.equal(value, load_data(f"{spec},mask=0.2").train.content[key])
        for key, value in content.items()
    )
    chosen = content["labels"] != -100
    assert torch.equal(torch.where(chosen, content["labels"], content["input_ids"]), plain)
    assert float(chosen.float().mean()) == pytest.approx(0.2, abs=0.02)
    shown = content["input_ids"][chosen]
    assert float((shown == SPECIAL.index("[MASK]")).float().mean()) == pytest.approx(0.8, abs=0.08)
    kept = (shown == plain[chosen]).float().mean()
    assert float(kept) == pytest.approx(0.1 + 0.1 / (len(SPECIAL) + len(WORDS)), abs=0.05)


def test_bytes_and_tokenizers_without_a_mask_hide_nothing(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("the film was good " * 1500)
    with pytest.raises(UsageError, match="bytes have no mask"):
        load_data(f"text:{file},mask=0.15")
    with pytest.raises(UsageError, match="no option 'mask=2'"):
        load_data(f"text:{file},mask=2")
    pytest.importorskip("transformers")
    declare()
    tokenizer = word_tokenizer()
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(UsageError, match="the tokenizer has no mask"):
        load_data(f"text:{file},tokenizer={tmp_path / 'model'},mask=0.15")
