from itertools import pairwise

import torch

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.masks import output_layer, prune_by_layer, prune_globally
from autoprune.commands.ticket.run import run_ticket
from autoprune.commands.ticket.ticket import Ticket
from autoprune.foundation.progress import Silent
from tests.tickets import ALONE, at


def test_stored_tickets_are_nested_start_as_they_were_and_stay_zero_outside(whole):
    home, _ = whole
    tickets = [Ticket.load(at(home, 0, level)) for level in range(3)]
    for before, after in pairwise(tickets):
        assert prune_by_layer(before.trained, before.masks, 0.5).keys() == after.masks.keys()
        for name, mask in prune_by_layer(before.trained, before.masks, 0.5).items():
            assert torch.equal(after.masks[name], mask)
            assert after.trained[name][~mask].eq(0).all()
            assert after.trained[name][mask].ne(after.initial[name][mask]).any()
        assert all(torch.equal(before.initial[k], after.initial[k]) for k in before.initial)


def test_one_shot_prunes_the_dense_network_as_far_as_level_after_level(tmp_path):
    short = ALONE | {"iterations": 17, "seeds": 1}
    config = TicketConfig(run_dir=str(tmp_path), one_shot=True, scope="global", **short)
    result = run_ticket(config, Silent())
    assert result["method"] == "one-shot"
    dense, _, last = (Ticket.load(at(tmp_path, 0, level)) for level in range(3))
    output = output_layer(dense.masks)
    masks = dense.masks
    for _ in range(2):
        masks = prune_globally(dense.trained, masks, 0.5, spared={output})
    assert all(torch.equal(last.masks[name], mask) for name, mask in masks.items())
    assert last.masks[output].all()


def test_rewinding_to_a_later_iteration(tmp_path):
    config = TicketConfig(run_dir=str(tmp_path), rewind="1ep", **{**ALONE, "levels": 1, "seeds": 1})
    result = run_ticket(config, Silent())
    assert result["rewind"] == 17
    ticket = Ticket.load(at(tmp_path, 0, 1))
    assert any(not torch.equal(ticket.initial[k], ticket.rewound[k]) for k in ticket.initial)
    at_zero = Ticket.load(at(tmp_path, 0, 0))
    assert all(torch.equal(at_zero.rewound[k], ticket.rewound[k]) for k in ticket.initial)
