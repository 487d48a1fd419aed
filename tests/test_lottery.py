import json
import shutil
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from autoprune import phases
from autoprune.cli import main
from autoprune.config import SearchConfig
from autoprune.errors import DamagedError, UsageError
from autoprune.lottery import masks as m
from autoprune.lottery.command import prepare, run_ticket
from autoprune.lottery.config import TicketConfig
from autoprune.lottery.retrain import STARTS, Retraining
from autoprune.lottery.source import read_source
from autoprune.lottery.statistics import difference, estimate
from autoprune.lottery.study import folder
from autoprune.lottery.ticket import Ticket
from autoprune.pipeline import run_search
from autoprune.progress import Silent
from autoprune.recover import FitConfig


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class Dies(Silent):
    """Ends the process after so many rounds of training."""

    def __init__(self, rounds):
        self._left, self._training = rounds, False

    def phase(self, name, total):
        self._training = name == "tickets"
        return super().phase(name, total)

    def advance(self, steps=1, **facts):
        if self._training and steps:
            self._left -= steps
            if self._left <= 0:
                raise Killed


@st.composite
def layers(draw):
    """Weights of a few layers, with ties, and masks that keep at least one of each."""
    weights, masks = {}, {}
    for number in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 30))
        values = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
        kept = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        kept[draw(st.integers(0, size - 1))] = True
        weights[f"layer{number}"] = torch.tensor(values).float().view(1, -1)
        masks[f"layer{number}"] = torch.tensor(kept).view(1, -1)
    return weights, masks


RATES = st.floats(0.01, 0.99)


def smallest(weight, mask, count):
    """The places that go, found by sorting (magnitude, index) in plain Python."""
    places = [index for index, keep in enumerate(mask.flatten().tolist()) if keep]
    places.sort(key=lambda index: (abs(float(weight.flatten()[index])), index))
    return set(places[:count])


def gone(before, after):
    return set((before & ~after).flatten().nonzero().flatten().tolist())


@given(layers(), RATES)
@settings(deadline=None)
def test_exactly_the_smallest_weights_of_each_layer_go(case, rate):
    weights, masks = case
    pruned = m.prune_by_layer(weights, masks, rate)
    assert list(pruned) == list(masks)
    for name, mask in masks.items():
        assert not (pruned[name] & ~mask).any(), "nested"
        assert pruned[name].any(), "never emptied"
        here = rate / 2 if name == list(masks)[-1] else rate
        count = min(round(here * int(mask.sum())), int(mask.sum()) - 1)
        assert gone(mask, pruned[name]) == smallest(weights[name], mask, count)


@given(layers(), RATES)
@settings(deadline=None)
def test_global_pruning_takes_the_exact_count_and_empties_no_layer(case, rate):
    weights, masks = case
    pruned = m.prune_globally(weights, masks, rate)
    before = sum(int(mask.sum()) for mask in masks.values())
    after = sum(int(mask.sum()) for mask in pruned.values())
    assert before - after == min(round(rate * before), before - len(masks))
    largest_gone, smallest_kept = 0.0, float("inf")
    for name, mask in masks.items():
        assert not (pruned[name] & ~mask).any()
        assert pruned[name].any()
        values = weights[name].abs()
        largest_gone = max([largest_gone, *values[mask & ~pruned[name]].tolist()])
        if int(pruned[name].sum()) > 1:  # a lone survivor may be smaller than what went elsewhere
            others = values[pruned[name]].sort(descending=True).values[1:]
            smallest_kept = min([smallest_kept, *others.tolist()])
    assert largest_gone <= smallest_kept


@given(layers(), st.integers(0, 2**31))
@settings(deadline=None)
def test_shuffling_keeps_every_layers_share(case, seed):
    _, masks = case
    shuffled = m.shuffled(masks, seed)
    assert m.shares(shuffled) == m.shares(masks)
    assert m.remaining(shuffled) == m.remaining(masks)
    again = m.shuffled(masks, seed)
    assert all(torch.equal(shuffled[name], again[name]) for name in masks)


@given(layers(), RATES)
@settings(deadline=None, max_examples=10)
def test_a_ticket_read_back_is_the_one_that_was_written(case, rate):
    weights, masks = case
    with tempfile.TemporaryDirectory() as folder:
        ticket = Ticket(masks, weights, weights, {}, 0, {"rate": rate})
        ticket.save(Path(folder))
        again = Ticket.load(Path(folder))
    assert list(again.masks) == list(masks)
    assert all(torch.equal(again.masks[name], mask) for name, mask in masks.items())
    assert all(torch.equal(again.initial[name], value) for name, value in weights.items())
    assert again.facts == ticket.facts


def test_damaged_and_missing_tickets_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no ticket"):
        Ticket.load(tmp_path)
    masks = {"w": torch.ones(3, dtype=torch.bool)}
    Ticket(masks, {"w": torch.ones(3)}, {}, {}).save(tmp_path)
    content = bytearray((tmp_path / "masks.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "masks.safetensors").write_bytes(content)
    with pytest.raises(DamagedError, match="damaged"):
        Ticket.load(tmp_path)


def test_whole_layers_of_single_weights_survive_every_level():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    masks = m.full(model)
    assert list(masks) == ["0.weight"], "biases and norms are not pruned"
    weights = {"0.weight": torch.zeros(1, 1)}
    assert m.prune_by_layer(weights, masks, 0.9)["0.weight"].all()
    assert m.prune_globally(weights, masks, 0.9)["0.weight"].all()


def test_intervals_are_students():
    assert estimate([1.0]).to_json() == {"mean": 1.0, "margin": None}
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.margin == pytest.approx(4.303 / 3**0.5)
    paired = difference([10.0, 20.0, 31.0], [9.0, 19.0, 30.0])
    assert (paired.mean, paired.margin) == (1, 0)
    assert paired.positive and not paired.negative


# Two levels of LeNet on digits, short but long enough for the reinitialised ticket to fall behind.
SHORT = {"model": "lenet-300-100", "levels": 2, "iterations": 60, "seeds": 2, "rate": 0.5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    home = tmp_path_factory.mktemp("tickets") / "whole"
    return home, run_ticket(TicketConfig(run_dir=str(home), **SHORT), Silent())


def test_every_level_holds_ticket_and_controls_of_every_seed(whole):
    home, result = whole
    left = [level["remaining"] for level in result["levels"]]
    assert left == pytest.approx([1, 0.5, 0.25], abs=0.02)
    for level in result["levels"]:
        assert [entry["seed"] for entry in level["seeds"]] == [0, 1]
        for entry in level["seeds"]:
            assert entry["dense"] == result["levels"][0]["seeds"][entry["seed"]]["ticket"]
            for kind in ("ticket", "dense", "reinit", "shuffled"):
                assert 0.3 < entry[kind]["accuracy"] <= 1
                assert 0 < entry[kind]["early_stop"] <= 60
    for entry in result["levels"][-1]["seeds"]:
        for control in ("reinit", "shuffled"):
            assert entry["ticket"]["accuracy"] > entry[control]["accuracy"] + 0.02
    assert json.loads((home / "result.json").read_text()) == result


def test_the_command_shows_tables_or_json(whole, capsys):
    home, result = whole
    options = [f"--{name}={value}" for name, value in SHORT.items()]
    assert main(["ticket", "--json", f"--run-dir={home}", *options]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert main(["ticket", f"--run={home}", *options]) == 0
    out = capsys.readouterr().out
    for text in ("tickets of lenet-300-100 on digits", "25.", "shuffled", "Too few seeds", "±"):
        assert text in out


def test_stored_tickets_are_nested_start_as_they_were_and_stay_zero_outside(whole):
    home, _ = whole
    tickets = [Ticket.load(folder(home, 0, level)) for level in range(3)]
    for before, after in pairwise(tickets):
        assert m.prune_by_layer(before.trained, before.masks, 0.5).keys() == after.masks.keys()
        for name, mask in m.prune_by_layer(before.trained, before.masks, 0.5).items():
            assert torch.equal(after.masks[name], mask)
            assert after.trained[name][~mask].eq(0).all()
            assert after.trained[name][mask].ne(after.initial[name][mask]).any()
        assert all(torch.equal(before.initial[k], after.initial[k]) for k in before.initial)


def test_levels_and_seeds_can_be_added_and_a_killed_run_ends_the_same(whole, tmp_path):
    home, result = whole
    config = TicketConfig(run_dir=str(tmp_path / "run"), **SHORT)
    run_ticket(replace(config, levels=1, seeds=1), Silent())
    with pytest.raises(Killed):
        run_ticket(config, Dies(4))
    again = run_ticket(config, Silent())
    assert {**again, "run": ""} == {**result, "run": ""}
    for seed in (0, 1):
        for level in range(3):
            one, other = (
                folder(at, seed, level) / "trained.safetensors" for at in (home, config.directory)
            )
            assert one.read_bytes() == other.read_bytes()
    assert run_ticket(config, Dies(99)) == again, "nothing is trained twice"


def test_one_shot_prunes_the_dense_network_as_far_as_level_after_level(tmp_path):
    short = SHORT | {"iterations": 17, "seeds": 1}
    config = TicketConfig(run_dir=str(tmp_path), one_shot=True, scope="global", **short)
    result = run_ticket(config, Silent())
    assert result["method"] == "one-shot"
    dense, _, last = (Ticket.load(folder(tmp_path, 0, level)) for level in range(3))
    output = m.output_layer(dense.masks)
    masks = dense.masks
    for _ in range(2):
        masks = m.prune_globally(dense.trained, masks, 0.5, spared={output})
    assert all(torch.equal(last.masks[name], mask) for name, mask in masks.items())
    assert last.masks[output].all()


def test_rewinding_to_a_later_iteration(tmp_path):
    config = TicketConfig(run_dir=str(tmp_path), rewind="1ep", **{**SHORT, "levels": 1, "seeds": 1})
    result = run_ticket(config, Silent())
    assert result["rewind"] == 17
    ticket = Ticket.load(folder(tmp_path, 0, 1))
    assert any(not torch.equal(ticket.initial[k], ticket.rewound[k]) for k in ticket.initial)
    at_zero = Ticket.load(folder(tmp_path, 0, 0))
    assert all(torch.equal(at_zero.rewound[k], ticket.rewound[k]) for k in ticket.initial)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewind": "60it"}, "cannot begin after step 60 of 60"),
        ({"rewind": "soon"}, "cannot read --rewind"),
        ({"rate": 0.0}, "--rate"),
        ({"rate": 1.0}, "--rate"),
        ({"levels": 0}, "--levels"),
        ({"epochs": 3}, "both set the length"),
        ({"scope": "wide"}, "--scope"),
        ({"model": "lenet"}, "unknown network"),
    ],
)
def test_bad_requests_are_refused_before_any_training(change, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run_ticket(TicketConfig(run_dir=str(tmp_path / "run"), **(SHORT | change)), Dies(0))


def test_where_a_run_lives():
    assert TicketConfig(model="resnet20", run="here").directory == Path("here")
    assert TicketConfig().model == "lenet-300-100"
    assert TicketConfig(run="logs/found").directory.name.startswith("ticket-found-digits-")


@pytest.fixture(scope="module")
def search_run(tmp_path_factory):
    """A search with a network that trains in no time."""
    home = tmp_path_factory.mktemp("search") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "TRAINING", FitConfig(epochs=1, batch_size=64))
        config = SearchConfig(
            budget="0.3flops",
            agent="uniform",
            ranking="l1",
            evaluations=1,
            finetune_epochs=0,
            baseline=False,
            run=str(home),
        )
        run_search(config, Silent())
    return home


def test_the_mask_of_a_search_is_trained_from_every_start(search_run, tmp_path):
    config = TicketConfig(run=str(search_run), run_dir=str(tmp_path), iterations=4, seeds=1)
    with pytest.raises(Killed):
        run_ticket(config, Dies(3))
    result = run_ticket(config, Silent())
    (entry,) = result["levels"][0]["seeds"]
    assert set(STARTS) < set(entry)
    assert 0.29 < result["macs"] <= 0.3
    assert entry["reinit_same_flops"]["early_stop"] <= 4 / result["macs"]
    ticket = Ticket.load(tmp_path / "seed-0")
    stored = load_file(search_run / "masks.safetensors")
    assert all(torch.equal(mask, stored[name]) for name, mask in ticket.masks.items())
    assert "Too few seeds" in result["verdict"][0]


def test_masks_that_do_not_fit_and_runs_without_initial_weights(search_run, tmp_path):
    with pytest.raises(UsageError, match="holds no mask"):
        read_source(tmp_path)
    source = read_source(search_run)
    study = prepare(TicketConfig(run=str(search_run)), source)
    broken = {name: mask.clone() for name, mask in source.masks.items()}
    next(iter(broken.values())).view(-1)[0] ^= True
    for masks in (broken, {}, {"gone": torch.ones(1, dtype=torch.bool)}):
        with pytest.raises(UsageError, match="the mask does not fit the network"):
            _ = Retraining(study, replace(source, masks=masks)).kept
    bare = tmp_path / "bare"
    shutil.copytree(search_run, bare)
    (bare / "initial.safetensors").unlink()
    with pytest.raises(UsageError, match="no initial weights to rewind to"):
        read_source(bare)
