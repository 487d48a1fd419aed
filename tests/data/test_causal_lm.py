"""Causal language modeling: what counts, and what the score of a split is."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autoprune.data import Split
from autoprune.data.causal_lm import CausalLanguageModeling
from autoprune.data.named_task import resolve_task
from autoprune.errors import UsageError
from autoprune.networks.score import measure

TASK = CausalLanguageModeling()


def by_hand(logits, ids, counts):
    """Negative log-probabilities of the tokens that count, one list per sample."""
    return [
        [
            -float(logits[row, at - 1].log_softmax(0)[ids[row, at]])
            for at in range(1, ids.shape[1])
            if counts[row][at]
        ]
        for row in range(len(ids))
    ]


def test_padding_and_labels_that_are_left_out_do_not_count():
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5))
    counts = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    wanted = by_hand(logits, ids, counts)
    masked = {"input_ids": ids, "attention_mask": torch.tensor(counts)}
    labels = ids.clone()
    labels[1, 3:] = -100
    for batch in (masked, {"input_ids": ids, "labels": labels}):
        for outputs in (logits, {"logits": logits}, SimpleNamespace(logits=logits)):
            losses = TASK.losses(outputs, batch)
            assert losses.tolist() == pytest.approx([sum(one) / len(one) for one in wanted])
            assert float(TASK.loss(outputs, batch)) == pytest.approx(float(losses.mean()))
            every = [value for one in wanted for value in one]
            score = TASK.score_of(TASK.evidence(outputs, batch))
            assert score == pytest.approx(math.exp(-sum(every) / len(every)))
    assert TASK.inputs({"input_ids": ids, "labels": labels}).keys() == {"input_ids"}
    assert TASK.inputs(ids) is ids


class Unsure(nn.Module):
    """A model that thinks all of its tokens alike."""

    def __init__(self, tokens):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(tokens))

    def forward(self, input_ids):
        return self.bias.expand(*input_ids.shape, -1)


def test_a_model_that_knows_nothing_is_as_perplexed_as_there_are_tokens():
    split = Split({"input_ids": torch.randint(0, 9, (70, 6))})
    found = measure(Unsure(9), split, TASK)
    assert found.other == {"perplexity": pytest.approx(9, rel=1e-5)}
    assert found.score == pytest.approx(1 / 9, rel=1e-5)
    assert found.loss == pytest.approx(math.log(9), rel=1e-5)


def test_it_is_a_task_by_name_and_refuses_what_does_not_fit():
    assert resolve_task("causal-lm") == TASK
    ids = torch.tensor([[1, 8, 2]])
    with pytest.raises(UsageError, match="token 8 is beyond the model's 5"):
        TASK.loss(torch.randn(1, 3, 5), ids)
    with pytest.raises(UsageError, match="do not fit tokens"):
        TASK.loss(torch.randn(1, 5), ids)
