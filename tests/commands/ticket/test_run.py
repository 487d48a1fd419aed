import json
import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.cli.main import main
from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.jobs import Job
from autoprune.commands.ticket.plots import distances, learning_curves, levels
from autoprune.commands.ticket.prepare import prepare
from autoprune.commands.ticket.run import run_study, run_ticket, waves
from autoprune.commands.ticket.studies.iterative import Iterative
from autoprune.commands.ticket.ticket import Ticket
from autoprune.foundation.progress import Silent
from autoprune.training.loop import fit
from autoprune.training.pace import PaceConfig, paced
from tests.browser import assert_readable, fetched, look
from tests.killing import Dies, Killed
from tests.showing import assert_explains_itself
from tests.tickets import ALONE, BRIEF, SHORT, at
from tests.tickets import level as made_up


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


@pytest.mark.parametrize(("asked", "recorded"), [(0, 1), (2, 2)])
def test_threads_are_chosen_as_by_a_search_and_recorded(asked, recorded, tmp_path):
    config = TicketConfig(
        **{**BRIEF, "levels": 1, "iterations": 2}, threads=asked, run_dir=str(tmp_path / "run")
    )
    seen = []

    class Watch(Silent):
        def advance(self, steps=1, **facts):
            seen.append(torch.get_num_threads())

    run_ticket(config, Watch())
    meta = json.loads((tmp_path / "run" / "config.json").read_text())
    assert meta["environment"]["threads"] == recorded
    assert set(seen) == {recorded}


def test_the_macs_of_a_network_are_those_of_its_layers(tmp_path):
    _, inputs = prepare(TicketConfig(**BRIEF, run_dir=str(tmp_path / "run")))
    assert inputs.macs == 64 * 300 + 300 * 100 + 100 * 10


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


class Different(Iterative):
    """A study whose trainings come out differently."""

    def carry_out(self, job, home, tick):
        record = super().carry_out(job, home, tick)
        return {**record, "remaining": record["remaining"] / 2}


def test_a_level_that_comes_out_differently_is_reported(whole, tmp_path):
    home, _ = whole
    config = TicketConfig(run_dir=str(tmp_path / "run"), **ALONE)
    shutil.copytree(home, config.directory)
    spoil(at(config.directory, 0, 1) / "trained.safetensors")
    study, inputs = prepare(config)
    other = Different(**vars(study))
    (warning,) = run_study(other, inputs, config, Silent())["warnings"]
    assert warning.startswith("level-01 of seed 0 came out differently")


def test_a_run_killed_in_the_middle_of_a_level_goes_on_from_there(whole, tmp_path):
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

    study, inputs = prepare(config)
    counting = replace(study, experiment=replace(study.experiment, loop=counted))
    again = run_study(counting, inputs, config, notes)
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


def test_the_page_of_a_study_shows_what_the_json_says(whole, tmp_path):
    home, result = whole
    text = (home / "report.html").read_text()
    seen = look(text, tmp_path)
    assert_readable(seen)
    assert fetched(text) == []
    for page in seen.values():
        assert len(page["values"]) == 3 * len(result["levels"][0]["means"])
        for key, written in page["values"].items():
            level, kind, figure = key.split("/")
            found = result["levels"][int(level)]["means"][kind][figure]
            assert written.startswith(f"{100 * found['mean']:.2f} %")
        names = [chart["name"] for chart in page["charts"]]
        assert "at the end" in names and "100 % of the weights" in names
        assert all("ticket" in chart["key"] for chart in page["charts"])


def test_pictures_of_a_study_explain_themselves(whole):
    home, result = whole
    figures = [levels(result["levels"]), learning_curves([made_up(), made_up()])]
    first, last = (Ticket.load(at(home, 0, number)) for number in (0, 2))
    for figure in (*figures, distances(first, last)):
        assert_explains_itself(figure)
