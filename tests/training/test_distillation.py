"""Distillation loss against the textbook formula, position by position."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from autoprune.data.classification import Classification
from autoprune.training.distillation import distillation

TASK = Classification()


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 7), (6, 5, 4, 3), (2, 5, 2, 3, 4)])
def test_it_is_a_mean_over_everything_but_classes(shape):
    student, teacher, heat = drawn(*shape), drawn(*shape, seed=1), 4.0
    labels = torch.zeros(shape[0], *shape[2:], dtype=torch.long)
    found = distillation(student, teacher, (student, labels), TASK, heat)
    flat = [logits.movedim(1, -1).reshape(-1, 5) / heat for logits in (student, teacher)]
    each = [
        (softmax(one, 0) * (log_softmax(one, 0) - log_softmax(other, 0))).sum()
        for other, one in zip(*flat, strict=True)
    ]
    assert float(found) == pytest.approx(heat**2 * float(torch.stack(each).mean()), rel=1e-5)


def test_for_one_position_it_is_torchs_batchmean():
    student, teacher = drawn(8, 3), drawn(8, 3, seed=1)
    batch = (student, torch.zeros(8, dtype=torch.long))
    theirs = kl_div(
        log_softmax(student / 2, 1), log_softmax(teacher / 2, 1), None, None, "batchmean", True
    )
    assert float(distillation(student, teacher, batch, TASK, 2.0)) == pytest.approx(
        4 * float(theirs), rel=1e-5
    )


@pytest.mark.parametrize("ignored", [-100, 255])
def test_positions_that_are_ignored_change_nothing(ignored):
    student, teacher = drawn(2, 3, 4), drawn(2, 3, 4, seed=1)
    labels = torch.tensor([[0, 1, ignored, 2], [ignored, ignored, 1, 0]])
    changed = student.clone()
    changed[labels[:, None].expand_as(student) == ignored] = 9.0
    for outputs in (student, changed):
        batch = (outputs, labels)
        counted = labels != ignored
        kept = outputs.movedim(1, -1)[counted], teacher.movedim(1, -1)[counted]
        plain = (kept[0], labels[counted])
        assert float(distillation(outputs, teacher, batch, TASK, 4.0)) == pytest.approx(
            float(distillation(*kept, plain, TASK, 4.0)), rel=1e-5
        )
        assert float(TASK.loss(outputs, batch)) == pytest.approx(
            float(cross_entropy(outputs, labels, ignore_index=ignored)), rel=1e-5
        )
    scores = TASK.score(student, (student, labels))
    right = student.argmax(1) == labels
    assert scores.tolist() == pytest.approx([float(right[0].sum()) / 3, float(right[1].sum()) / 2])
    assert torch.allclose(
        TASK.losses(student, (student, labels)), TASK.losses(changed, (changed, labels))
    )


def test_a_batch_without_any_label_has_no_loss_and_255_is_a_class_of_large_networks():
    outputs = drawn(2, 3, 4)
    nothing = (outputs, torch.full((2, 4), 255))
    assert float(TASK.loss(outputs, nothing)) == 0
    assert TASK.losses(outputs, nothing).tolist() == [0, 0]
    assert TASK.score(outputs, nothing).tolist() == [1, 1]
    large = drawn(2, 300)
    labels = torch.tensor([255, 3])
    assert float(TASK.loss(large, (large, labels))) == float(cross_entropy(large, labels))
