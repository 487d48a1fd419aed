import pytest
import torch

from autoprune.commands.ticket.prepare import splits_of
from autoprune.data import load_data
from autoprune.errors import UsageError
from tests.augmenting import Noisy
from tests.numbered_samples import numbered, values


def test_held_out_samples_are_drawn_anew_by_the_split_seed():
    digits = load_data("digits")
    as_it_is, drawn, again, other = (
        splits_of(digits, torch.device("cpu"), s) for s in (None, 1, 1, 2)
    )

    def rows(split):
        return {tuple(row.flatten().tolist()) for row in split.content[0]}

    assert torch.equal(drawn.validation.content[0], again.validation.content[0])
    assert rows(drawn.validation) != rows(other.validation) != rows(as_it_is.validation)
    assert rows(drawn.validation) | rows(drawn.train) == rows(as_it_is.train) | rows(
        as_it_is.validation
    )
    assert len(drawn.validation) == len(as_it_is.validation)
    assert not rows(drawn.validation) & rows(drawn.train)


def test_rows_that_are_read_as_needed_are_drawn_anew_too():
    data = load_data({"train": Noisy(80, ()), "test": numbered(8)})
    as_it_is, drawn, other = (splits_of(data, torch.device("cpu"), s) for s in (None, 1, 2))
    assert sorted(values(as_it_is.validation)) == list(range(72, 80))
    for splits in (drawn, other):
        assert sorted(values(splits.train) + values(splits.validation)) == list(range(80))
        assert len(splits.validation) == 8
    assert values(drawn.validation) != values(other.validation)
    given = load_data({"train": Noisy(80, ()), "validation": numbered(9), "test": numbered(8)})
    with pytest.raises(UsageError, match="cannot be exchanged"):
        splits_of(given, torch.device("cpu"), 1)
