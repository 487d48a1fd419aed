"""Scores pooled over classes, beside scikit-learn's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, recall_score
from torch import nn

from autoprune.data.class_scores import POOLED, find_score
from autoprune.data.classification import IGNORED, PooledClassification
from autoprune.data.named_task import resolve_task
from autoprune.data.split import Split
from autoprune.data.task import SplitScoredTask, metric
from autoprune.errors import UsageError
from autoprune.networks.score import measure
from autoprune.pipeline.config import SearchConfig

CLASSES = 4
ORACLES = {"balanced-accuracy": recall_score, "macro-f1": f1_score, "mean-iou": jaccard_score}


class Echo(nn.Module):
    """Network whose inputs are its logits."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.scale


def guessed(seed, samples, places):
    generator = torch.Generator().manual_seed(seed)
    guesses = torch.randn(samples, CLASSES, *places, generator=generator)
    labels = torch.randint(CLASSES, (samples, *places), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.6] = 0  # one class is common
    return guesses, labels


@pytest.mark.parametrize("name", POOLED)
@given(seed=st.integers(0, 10**6), samples=st.integers(1, 40), wide=st.booleans())
def test_scores_are_those_of_scikit_learn(name, seed, samples, wide):
    guesses, labels = guessed(seed, samples, (3, 2) if wide else ())
    ignored = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)) < 0.2
    ignored[0] = False
    shown = labels.masked_fill(ignored, IGNORED[0])
    task = PooledClassification(scored_by=name)
    found = measure(Echo(), Split((guesses, shown)), task, batch_size=7).score
    truth = labels[~ignored].numpy()
    guess = guesses.argmax(1)[~ignored].numpy()
    # Balanced accuracy leaves out classes that no label has, the others classes that none names.
    seen = np.unique(truth) if name == "balanced-accuracy" else np.unique([*truth, *guess])
    oracle = ORACLES[name](truth, guess, average="macro", labels=seen, zero_division=0)
    assert found == pytest.approx(oracle, abs=1e-6)


def test_a_network_that_always_names_the_common_class_has_a_low_score():
    logits = torch.zeros(100, 2)
    logits[:, 0] = 1
    labels = torch.zeros(100, dtype=torch.long)
    labels[:5] = 1
    split = Split((logits, labels))
    assert measure(Echo(), split, resolve_task("classification")).score == pytest.approx(0.95)
    pooled = resolve_task("classification,score=balanced-accuracy")
    assert measure(Echo(), split, pooled).score == 0.5
    assert isinstance(pooled, SplitScoredTask) and metric(pooled) == "balanced accuracy"


def test_accuracy_by_name_is_the_plain_task():
    assert resolve_task("classification,score=accuracy") == resolve_task("classification")
    assert not isinstance(resolve_task("classification"), SplitScoredTask)


def test_a_task_is_found_again_by_its_name():
    text = "classification,class_weights=1/2.5/4,score=mean-iou"
    task = resolve_task(text)
    assert task.name == text and resolve_task(task.name) == task


@pytest.mark.parametrize(
    "spec, message",
    [
        ("classification,score=recall", "unknown score 'recall'"),
        ("classification,metric=f1", "no option 'metric=f1'"),
        ("classification,class_weights=heavy", "cannot read the class weights 'heavy'"),
        ("classification,class_weights=1/-1", "'1/-1' are no weights of classes"),
        ("classification,class_weights=3", "'3' are no weights of classes"),
    ],
)
def test_bad_options_are_one_line(spec, message):
    with pytest.raises(UsageError, match=message):
        resolve_task(spec)
    assert find_score("accuracy") is None


def test_a_task_of_ones_own_can_score_whole_splits():
    class Median:
        name = "median"
        inputs = staticmethod(lambda batch: ((batch[0],), {}))
        loss = staticmethod(lambda outputs, batch: outputs.mean())
        score = staticmethod(lambda outputs, batch: torch.zeros(len(outputs)))
        evidence = staticmethod(lambda outputs, batch: outputs[:, 0])
        score_of = staticmethod(lambda evidence: float(evidence.median()))

    values = torch.rand(7, 2)
    found = measure(Echo(), Split((values, torch.arange(7))), Median(), batch_size=3)
    assert found.score == float(values[:, 0].median())
    assert metric(Median()) == "median score"


def test_options_of_the_command_line_become_options_of_the_task():
    config = SearchConfig(budget="0.5flops", score="macro-f1", class_weights="1,1,4")
    assert config.task == "classification,class_weights=1/1/4,score=macro-f1"
    again = type(config).from_json(config.to_json())
    assert again.task == config.task and again.key == config.key
    assert SearchConfig(budget="0.5flops").task == "classification"
    with pytest.raises(UsageError, match="--score is for classification, not for --task ctc"):
        SearchConfig(budget="0.5flops", score="macro-f1", task="ctc")
