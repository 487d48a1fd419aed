"""Weights of classes in the loss."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from autoprune.data.class_weights import ClassWeights
from autoprune.data.classification import Classification
from autoprune.data.named_task import resolve_task, weighed
from autoprune.data.split import Split
from autoprune.errors import UsageError

LABELS = torch.tensor([0] * 6 + [1] * 3 + [3])
SPLIT = Split((torch.randn(10, 4), LABELS))


def test_balanced_weights_give_every_class_the_same_total():
    task = weighed(resolve_task("classification,class_weights=balanced"), SPLIT)
    each = task.class_weights.of(LABELS)
    assert each.mean() == pytest.approx(1)
    totals = [each[LABELS == label].sum().item() for label in (0, 1, 3)]
    assert totals == pytest.approx([10 / 3] * 3)
    assert task.class_weights.of(torch.tensor([2, 7])).tolist() == [1, 1]  # never trained on


def test_given_weights_keep_their_ratios_and_have_mean_one():
    weights = ClassWeights.parse("1,2,9,3").scaled(torch.tensor([6.0, 3.0, 0.0, 1.0]))
    each = weights.of(LABELS)
    assert each.mean() == pytest.approx(1)
    assert (each[6] / each[0]).item() == pytest.approx(2)
    assert (each[9] / each[0]).item() == pytest.approx(3)


def test_the_loss_is_pytorchs_but_for_its_scale():
    task = weighed(Classification(class_weights=ClassWeights.parse("1/2/9/3")), SPLIT)
    outputs = SPLIT.content[0]
    weights = torch.tensor([1.0, 2.0, 9.0, 3.0])
    # PyTorch divides by the weights of the batch: on all of the training samples that is the same.
    theirs = cross_entropy(outputs, LABELS, weight=weights)
    torch.testing.assert_close(task.loss(outputs, SPLIT.content), theirs)
    torch.testing.assert_close(task.losses(outputs, SPLIT.content).mean(), theirs)


def test_pixels_are_weighted_by_their_own_class_and_ignored_ones_count_nowhere():
    labels = torch.tensor([[[0, 1], [255, 0]]])
    outputs = torch.randn(1, 2, 2, 2)
    task = weighed(resolve_task("classification,class_weights=balanced"), Split((outputs, labels)))
    each = cross_entropy(outputs, labels, reduction="none", ignore_index=255)
    wanted = (0.75 * (each[0, 0, 0] + each[0, 1, 1]) + 1.5 * each[0, 0, 1]) / 3
    torch.testing.assert_close(task.loss(outputs, (outputs, labels)), wanted)


def test_too_few_weights_are_refused():
    with pytest.raises(UsageError, match="2 class weights were given for 4 classes"):
        weighed(resolve_task("classification,class_weights=1/2"), SPLIT)


def test_weights_that_were_never_scaled_are_refused():
    with pytest.raises(UsageError, match="need the training labels"):
        resolve_task("classification,class_weights=balanced").loss(
            *(SPLIT.content[0], SPLIT.content)
        )
