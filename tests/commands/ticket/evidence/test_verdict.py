import pytest

from autoprune.commands.ticket.evidence.verdict import (
    TOO_FEW,
    continual_verdict,
    early_verdict,
    mask_verdict,
    transfer_verdict,
    verdict,
)
from tests.tickets import level, trial


@pytest.mark.parametrize(
    ("change", "wins"),
    [
        ({}, True),
        ({"reached": 50}, True),
        ({"reached": 150}, False),
        ({"dense": 0.96}, False),
        ({"reinit": 0.9495}, False),
        ({"shuffled": 0.96}, True),
    ],
)
def test_a_winning_ticket_is_as_accurate_no_later_and_beats_fresh_weights(change, wins):
    said = verdict([level(**change)])
    assert said[0].startswith("Winning tickets with 20.0 %" if wins else "No winning ticket")


def test_two_seeds_prove_nothing():
    assert verdict([level(seeds=2)]) == [TOO_FEW]
    few = level(seeds=2, own=0.95, finetune=0.9, lr_rewind=0.9, reinit_same_flops=0.9)
    assert early_verdict([few]) == [TOO_FEW]
    assert transfer_verdict(few.trials) == [TOO_FEW]
    assert continual_verdict([few], 3, 2) == [TOO_FEW]
    assert mask_verdict(few.trials, channels=True) == [TOO_FEW]


@pytest.mark.parametrize(
    ("reinit", "shuffled", "first"),
    [
        (0.90, 0.90, "More than the ratios matters: an advantage comes from the initial weights"),
        (0.90, 0.95, "More than the ratios matters: an advantage comes from the initial weights."),
        (0.95, 0.90, "an advantage comes from the choice of units."),
        (0.95, 0.95, "Only the ratios matter"),
        (0.97, 0.97, "Only the ratios matter"),
    ],
)
def test_what_a_mask_owes_to_what(reinit, shuffled, first):
    group = level(
        reinit=reinit, shuffled=shuffled, finetune=0.97, lr_rewind=0.9, reinit_same_flops=0.95
    )
    said = mask_verdict(group.trials, channels=True)
    assert first in said[0]
    assert "fine-tuning the trained weights is better (+2.00" in said[2]
    assert "rewinding their learning rate is worse (-5.00" in said[2]


def test_an_advantage_that_would_go_unseen_is_named():
    group = level(reinit=0.95, shuffled=0.95, finetune=0.95, lr_rewind=0.95, reinit_same_flops=0.95)
    seeds = [dict(trials) for trials in group.trials]
    seeds[0]["reinit"], seeds[1]["reinit"] = trial(0.99), trial(0.91)
    said = mask_verdict(seeds, channels=False)[0]
    assert said.startswith("Nothing shows that more than the ratios matters, but an advantage of")


def test_transfer_needs_both_controls():
    both = transfer_verdict(level(own=0.96).trials)
    assert both[0].startswith("At the end, the ticket transfers")
    assert both[1].startswith("After 300 iterations, the ticket transfers")
    one = transfer_verdict(level(own=0.96, shuffled=0.95).trials)
    assert "beats only one of its controls" in one[0]
    none = transfer_verdict(level(own=0.96, shuffled=0.95, reinit=0.96).trials)
    assert "nothing shows that the ticket transfers" in none[0]


def test_early_masks_that_beat_both_controls_are_listed():
    good, bad = level()._replace(name="100it"), level(reinit=0.95)._replace(name="snip")
    assert early_verdict([good, bad])[0].endswith("shuffled mask: 100it.")


def test_weeks_are_averaged_within_seeds_and_the_costs_are_weighed():
    weeks = [level()._replace(name=f"week-0{number}") for number in (2, 3)]
    said = continual_verdict(weeks, 3, 3)
    assert "better than the dense network (+1.00" in said[0]
    assert "that lies within the 3" in said[1]
    assert "that lies beyond the 3" in continual_verdict(weeks, 3, 4)[1]
    assert "no fewer multiply-adds" in continual_verdict(weeks, 3, None)[1]
