"""CTC task: loss, decoder and rates."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.data.classification import Classification
from autoprune.data.ctc import CTC, best_path_texts, edit_distance
from autoprune.data.named_task import check_task, resolve_task
from autoprune.data.task import Task, metric
from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.score import measure

TASK = CTC()


WORDS = st.lists(st.integers(1, 3), max_size=5)


def collapse(path):
    return [item for item, _ in itertools.groupby(path) if item]


def spell(paths, classes):
    """Logits whose best path is the one given, [lines, columns, classes]."""
    return torch.nn.functional.one_hot(torch.tensor(paths), classes).float() * 5


def test_ctc_is_a_task():
    assert isinstance(TASK, Task) and check_task(TASK) is TASK
    assert resolve_task("ctc") == TASK
    assert metric(TASK) == "sequence accuracy" and metric(Classification()) == "accuracy"


def test_the_loss_is_minus_the_log_of_all_paths_that_say_the_text():
    torch.manual_seed(0)
    logits, texts = torch.randn(2, 4, 3), torch.tensor([[1, 2], [2, 0]])
    probabilities = logits.softmax(2)
    expected = 0.0
    for line, text in enumerate(texts.tolist()):
        wanted = [item for item in text if item]
        total = sum(
            math.prod(float(probabilities[line, at, item]) for at, item in enumerate(path))
            for path in itertools.product(range(3), repeat=4)
            if collapse(path) == wanted
        )
        expected -= math.log(total) / len(wanted) / 2
    assert float(TASK.loss(logits, (None, texts))) == pytest.approx(expected, rel=1e-5)


def test_a_text_too_long_for_the_columns_does_not_spoil_the_loss():
    loss = TASK.loss(torch.randn(1, 2, 3, requires_grad=True), (None, torch.tensor([[1, 1, 2]])))
    assert loss.item() == 0.0


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4))
def test_reading_joins_repetitions_and_drops_blanks(paths):
    assert best_path_texts(spell(paths, 4)) == [collapse(path) for path in paths]


def by_definition(one, two):
    if not one or not two:
        return len(one) + len(two)
    return min(
        by_definition(one[1:], two) + 1,
        by_definition(one, two[1:]) + 1,
        by_definition(one[1:], two[1:]) + (one[0] != two[0]),
    )


@given(WORDS, WORDS)
def test_distances_are_least_edits(one, two):
    assert edit_distance(one, two) == by_definition(one, two)


def test_scores_count_whole_lines_and_rates_count_edits():
    outputs = spell([[1, 1, 0, 2], [3, 0, 3, 3], [0, 0, 0, 0]], 4)
    batch = (None, torch.tensor([[1, 2, 0], [3, 2, 0], [1, 2, 3]]))
    assert TASK.score(outputs, batch).tolist() == [1, 0, 0]
    assert TASK.rates(outputs, batch) == {"character error rate": (4.0, 7.0)}


def test_rates_are_summed_over_a_split_before_they_are_divided(few):
    class Says(torch.nn.Module):
        """Reads every line as the character of class 1."""

        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(63).index_fill_(0, torch.tensor(1), 9.0))

        def forward(self, x):
            return self.bias.expand(len(x), 32, 63)

    split = few[0].test
    texts = split.content[1]
    edits = sum(edit_distance([1], [item for item in text if item]) for text in texts.tolist())
    found = measure(Says(), split, TASK, batch_size=7)
    assert found.other == {"character error rate": edits / int((texts > 0).sum())}


def test_ocrnet_fits_the_lines_and_nothing_else_does(few):
    torch.manual_seed(0)
    data, net = few[0], zoo.build("ocrnet", classes=63)
    check_compatible(net, data, TASK)
    with pytest.raises(UsageError, match="lines of text need --task ctc"):
        check_compatible(net, data, Classification())
    with pytest.raises(UsageError, match="has outputs for 9 characters, but a text holds number"):
        check_compatible(zoo.build("ocrnet", classes=10), data, TASK)
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 128, 63))
    with pytest.raises(UsageError, match=r"returns \[2, 63\], not logits"):
        check_compatible(flat, data, TASK)


def test_another_blank_is_the_same_task_with_classes_renamed():
    torch.manual_seed(0)
    logits, texts = torch.randn(3, 7, 4), torch.tensor([[1, 2, 2], [3, -1, -1], [1, 3, -1]])
    batch, task = {"labels": texts, "input_values": torch.zeros(3, 70)}, resolve_task("ctc,blank=3")
    moved = logits[:, :, [1, 2, 3, 0]]  # class 0 is the last
    renamed = torch.where(texts > 0, texts - 1, texts)
    assert torch.equal(
        task.losses({"logits": moved}, batch | {"labels": renamed}), TASK.losses(logits, batch)
    )
    assert task.rates(moved, batch | {"labels": renamed}) == TASK.rates(logits, batch)
    assert TASK.inputs(batch).keys() == {"input_values"}
    with pytest.raises(UsageError, match="ctc has no option 'blank=x'"):
        resolve_task("ctc,blank=x")
    with pytest.raises(UsageError, match="a batch has no texts"):
        TASK.loss(logits, {"input_values": texts})


def test_columns_of_padding_count_not():
    torch.manual_seed(0)
    logits, texts = torch.randn(2, 10, 4), torch.tensor([[1, 2], [3, 1]])
    mask = (torch.arange(100) < torch.tensor([[100], [60]])).long()
    batch = {"labels": texts, "attention_mask": mask}
    cut = TASK.losses(logits[1:, :6], (None, texts[1:]))
    assert TASK.losses(logits, batch)[1] == pytest.approx(float(cut))
    logits[1] = spell([[3, 3, 1, 0, 0, 0, 2, 2, 2, 2]], 4)
    assert TASK.score(logits, batch)[1] == 1 and TASK.score(logits, (None, texts))[1] == 0


def test_a_blank_that_is_no_class_is_said():
    with pytest.raises(UsageError, match="the blank is 9, but the model's classes end at 3"):
        CTC(9).loss(torch.zeros(1, 5, 4), (torch.zeros(1), torch.tensor([[1, 2]])))
