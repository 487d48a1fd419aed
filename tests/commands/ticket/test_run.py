import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.cli.main import main
from autoprune.commands.ticket import config as words
from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.barrier import barrier
from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.criteria import CRITERIA
from autoprune.commands.ticket.early import RULES
from autoprune.commands.ticket.experiment import Seeds
from autoprune.commands.ticket.jobs import Job, folder
from autoprune.commands.ticket.recipe import RECIPES, recipe
from autoprune.commands.ticket.run import run_ticket, waves
from autoprune.commands.ticket.studies import prepare, splits_of
from autoprune.commands.ticket.ticket import Ticket
from autoprune.commands.ticket.trial import Trial
from autoprune.data import Split, load_data
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.progress import Silent
from autoprune.foundation.statistics import difference, estimate
from autoprune.networks.score import measure
from autoprune.runs.journal import read_journal
from autoprune.training.loop import fit
from autoprune.training.pace import PaceConfig, paced
from tests.killing import Dies, Killed


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


def test_intervals_are_students():
    assert estimate([1.0]).to_json() == {"mean": 1.0, "margin": None}
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.margin == pytest.approx(4.303 / 3**0.5)
    paired = difference([10.0, 20.0, 31.0], [9.0, 19.0, 30.0])
    assert (paired.mean, paired.margin) == (1, 0)
    assert paired.positive and not paired.negative


# Two levels of LeNet on digits, short but long enough for the reinitialized ticket to fall behind.
SHORT = {"model": "lenet-300-100", "levels": 2, "iterations": 60, "seeds": 2, "rate": 0.5}
ALONE = SHORT | {"workers": 1}


def at(home, seed, level):
    return folder(home, seed, f"level-{level:02d}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    home = tmp_path_factory.mktemp("tickets") / "whole"
    return home, run_ticket(TicketConfig(run_dir=str(home), **ALONE), Silent())


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
    tickets = [Ticket.load(at(home, 0, level)) for level in range(3)]
    for before, after in pairwise(tickets):
        assert m.prune_by_layer(before.trained, before.masks, 0.5).keys() == after.masks.keys()
        for name, mask in m.prune_by_layer(before.trained, before.masks, 0.5).items():
            assert torch.equal(after.masks[name], mask)
            assert after.trained[name][~mask].eq(0).all()
            assert after.trained[name][mask].ne(after.initial[name][mask]).any()
        assert all(torch.equal(before.initial[k], after.initial[k]) for k in before.initial)


def same_tickets(one, other):
    for seed in (0, 1):
        for level in range(3):
            files = [at(home, seed, level) / "trained.safetensors" for home in (one, other)]
            assert files[0].read_bytes() == files[1].read_bytes()


def test_levels_and_seeds_can_be_added_and_a_killed_run_ends_the_same(whole, tmp_path):
    home, result = whole
    config = TicketConfig(run_dir=str(tmp_path / "run"), **ALONE)
    run_ticket(replace(config, levels=1, seeds=1), Silent())
    with pytest.raises(Killed):
        run_ticket(config, Dies("tickets", 150))
    again = run_ticket(config, Silent())
    assert {**again, "run": ""} == {**result, "run": ""}
    same_tickets(home, config.directory)
    assert not list(config.directory.rglob("*under-way*")), "nothing half done is left"
    assert run_ticket(config, Dies("tickets", 1)) == again, "nothing is trained twice"


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def written(path):
    return path.stat().st_mtime_ns


def spoil(path):
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("name", ["trained.safetensors", "ticket.json", "manifest.json"])
def test_a_damaged_level_is_put_aside_and_made_anew_with_all_that_needs_it(name, whole, tmp_path):
    home, result = whole
    config = TicketConfig(run_dir=str(tmp_path / "run"), **ALONE)
    shutil.copytree(home, config.directory)
    spoil(at(config.directory, 0, 1) / name)
    (at(config.directory, 1, 0) / name).unlink()
    notes = Notes()
    again = run_ticket(replace(config, levels=3), notes)
    assert again["levels"][:3] == result["levels"] and again["warnings"] == []
    same_tickets(home, config.directory)
    (said,) = [text for text in notes.said if "damaged" in text]
    assert "seed-0/level-01" in said and "seed-1/level-00" in said
    assert (config.directory / "seed-0" / "level-01.damaged-1" / name).exists()


def test_a_level_that_comes_out_otherwise_is_said(whole, tmp_path, monkeypatch):
    home, _ = whole
    config = TicketConfig(run_dir=str(tmp_path / "run"), **ALONE)
    shutil.copytree(home, config.directory)
    spoil(at(config.directory, 0, 1) / "trained.safetensors")
    record = Trial.record

    def other(self, job, remaining):
        return {**record(self, job, remaining), "remaining": remaining / 2}

    monkeypatch.setattr(Trial, "record", other)
    (warning,) = run_ticket(config, Silent())["warnings"]
    assert warning.startswith("level-01 of seed 0 came out otherwise")


def test_a_run_killed_in_the_middle_of_a_level_goes_on_from_there(whole, tmp_path, monkeypatch):
    home, result = whole
    config = TicketConfig(run_dir=str(tmp_path / "run"), **ALONE)
    with pytest.raises(Killed), paced(PaceConfig(save_every=0.0, save_share=1e9)):
        run_ticket(config, Dies("tickets", 5 * 60 + 43))
    states = sorted(config.directory.rglob("*.checkpoint.safetensors"), key=written)
    spoil(states[-1])
    notes, steps = Notes(), []

    def counted(model, *args, on_step, **options):
        def note(step, total, loss):
            steps.append(step)
            on_step(step, total, loss)

        fit(model, *args, on_step=note, **options)

    monkeypatch.setattr("autoprune.commands.ticket.trial.fit", counted)
    again = run_ticket(config, notes)
    assert steps[0] == 47, "of the look after 48 steps nothing was kept, and the newest is damaged"
    (said,) = [text for text in notes.said if "damaged" in text]
    assert states[-1].name in said and "goes on from an older state" in said
    assert len(steps) == 16 * 60 - 5 * 60 - steps[0] + 1
    assert {**again, "run": ""} == {**result, "run": ""}
    same_tickets(home, config.directory)


def test_any_number_of_processes_comes_to_the_same(whole, tmp_path):
    home, result = whole
    config = TicketConfig(run_dir=str(tmp_path / "run"), **SHORT, workers=2)
    assert {**run_ticket(config, Silent()), "run": ""} == {**result, "run": ""}
    same_tickets(home, config.directory)
    assert [(home / "evaluations.jsonl").read_bytes()] == [
        (config.directory / "evaluations.jsonl").read_bytes()
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12))
def test_no_training_comes_before_one_that_it_needs(places):
    jobs = []
    for number, (back, needs) in enumerate(places):
        needed = jobs[max(0, number - 1 - back)].key if jobs and needs else None
        jobs.append(Job(f"m{number}", 0, "ticket", 1, (needed,) if needed else ()))
    done = set()
    for wave in waves(jobs):
        assert all(set(job.needs) <= done for job in wave)
        done |= {job.key for job in wave}
    assert done == {job.key for job in jobs}


def test_nothing_is_decided_on_the_test_split(whole, monkeypatch):
    """With other test labels everything but the accuracies on them stays as it was."""
    _, result = whole
    study, _ = prepare(TicketConfig(**(ALONE | {"seeds": 1})))
    splits = study.setting.splits
    images, labels = splits.test.content
    wrong = Split((images, (labels + 1) % 10), splits.test.form, "test")
    setting = replace(study.setting, splits=splits._replace(test=wrong))
    seeds = Seeds.of(0)
    found = setting.train(setting.network(seeds.init), seeds.order, lambda steps: None)
    dense = result["levels"][0]["seeds"][0]["dense"]
    assert found.trial.early_stop == dense["early_stop"]
    assert found.trial.accuracy < 0.2 < dense["accuracy"]


def test_early_stopping_is_where_the_validation_loss_is_least(whole):
    home, _ = whole
    for record in read_journal(home / "evaluations.jsonl"):
        least = min(record["trial"]["curve"], key=lambda point: point[1])
        assert record["trial"]["early_stop"] == least[0]


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


def test_the_barrier_between_two_orders_of_the_data(tmp_path):
    config = TicketConfig(
        run_dir=str(tmp_path), barrier=True, **(ALONE | {"levels": 1, "seeds": 1})
    )
    result = run_ticket(config, Silent())
    ticket = Ticket.load(at(tmp_path, 0, 0))
    twin = Ticket.load(folder(tmp_path, 0, "level-00-twin"))
    study, _ = prepare(config)
    found = barrier(study.setting, ticket.trained, twin.trained, points=3)
    network = study.setting.network(0)
    errors = []
    for part in (0, 0.5, 1):
        mixed = {k: v + part * (twin.trained[k] - v) for k, v in ticket.trained.items()}
        network.load_state_dict(mixed)
        score = measure(network, study.setting.splits.validation, study.setting.task).score
        errors.append(1 - score)
    assert found.errors == pytest.approx(errors)
    assert found.height == pytest.approx(max(errors) - (errors[0] + errors[2]) / 2)
    assert barrier(study.setting, ticket.trained, ticket.trained).height == pytest.approx(0)
    assert result["analysis"]["barrier_dense"]["mean"] >= found.height - 1e-9, "11 points see more"
    places = result["analysis"]["movement"]["fc1.weight"]
    assert places["twin_inside"]["initial"] == places["inside"]["initial"]
    assert places["twin_inside"]["moved"] != places["inside"]["moved"]


def test_one_shot_prunes_the_dense_network_as_far_as_level_after_level(tmp_path):
    short = ALONE | {"iterations": 17, "seeds": 1}
    config = TicketConfig(run_dir=str(tmp_path), one_shot=True, scope="global", **short)
    result = run_ticket(config, Silent())
    assert result["method"] == "one-shot"
    dense, _, last = (Ticket.load(at(tmp_path, 0, level)) for level in range(3))
    output = m.output_layer(dense.masks)
    masks = dense.masks
    for _ in range(2):
        masks = m.prune_globally(dense.trained, masks, 0.5, spared={output})
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
        ({"workers": 0}, "--workers"),
        ({"recipe": "alexnet"}, "unknown --recipe 'alexnet'"),
        ({"weeks": 1}, "--weeks"),
        ({"early": "61it"}, "--early 61it is iteration 61"),
        ({"early": "0it"}, "--early 0it is iteration 0"),
        ({"early": "soon"}, "cannot read --early 'soon'"),
        ({"early": "10it", "weeks": 2}, "ask different questions"),
        ({"early": "10it", "barrier": True}, "--barrier goes with"),
        ({"initial": "w.safetensors"}, "--initial belongs to --run"),
    ],
)
def test_bad_requests_are_refused_before_any_training(change, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run_ticket(
            TicketConfig(run_dir=str(tmp_path / "run"), **(SHORT | change)), Dies("tickets", 0)
        )


def test_where_a_run_lives():
    assert TicketConfig(model="resnet20", run="here").directory == Path("here")
    assert TicketConfig().model == "lenet-300-100"
    assert TicketConfig(run="logs/found").directory.name.startswith("ticket-found-digits-")


def test_the_command_line_knows_the_names_of_all_masks():
    assert set(words.RULES) == set(RULES)
    assert set(words.CRITERIA) == set(CRITERIA)
    assert set(words.RECIPES) == {"general", *RECIPES}


def test_any_network_can_be_trained_by_the_recipe_of_another():
    plain, asked = (
        recipe(TicketConfig(recipe=name), "mine.py:f", 600) for name in (None, "conv-2")
    )
    assert (plain.optimizer, asked.optimizer) == ("sgd", "adamw")
    assert (asked.learning_rate, asked.batch_size, asked.steps) == (2e-4, 60, 200)
