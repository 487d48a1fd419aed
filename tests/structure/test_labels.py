"""Unit labels."""

import torch

from autoprune.structure.labels import Labels, compress, spread


def test_joined_labels_have_one_root_and_keep_the_first_reason():
    labels = Labels()
    one, other, third = labels.fresh(3), labels.fresh(3), labels.fresh(3)
    labels.join(one, other)
    assert torch.equal(labels.roots(one), labels.roots(other))
    assert labels.reason(int(one[0])) is None
    labels.pin(other[:1], "model output")
    labels.pin(one[:1], "another reason")
    assert labels.reason(int(one[0])) == "model output"
    labels.join(third[:1], one[:1])
    assert labels.reason(int(third[0])) == "model output"
    assert labels.reason(int(one[1])) is None


def test_equal_reasons_share_a_label_and_differ_from_units():
    labels = Labels()
    assert labels.fixed("a constant") == labels.fixed("a constant") != labels.fixed("an input")
    assert labels.reason(labels.fixed("a constant")) == "a constant"


def test_a_column_joins_what_shares_an_index():
    labels = Labels()
    grid = labels.fresh(6).view(2, 3)
    column = labels.column(grid, 1)
    assert column.shape == (3,)
    roots = labels.roots(grid)
    assert torch.equal(roots[0], roots[1]) and len(roots.unique()) == 3
    assert labels.varying(grid) == [1]


def test_what_does_not_change_is_a_view_without_strides():
    column = torch.arange(1, 5)
    wide = spread(column, 1, torch.Size((2, 4, 3)))
    assert wide.shape == (2, 4, 3) and torch.equal(wide[1, :, 2], column)
    small = compress(wide.contiguous())
    assert torch.equal(small, wide) and (small.stride(0), small.stride(2)) == (0, 0)
    labels = Labels()
    labels.fresh(4)
    assert labels.varying(wide) == [1]
