import torch

from autoprune.commands.ticket.prepare import splits_of
from autoprune.data import load_data


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
