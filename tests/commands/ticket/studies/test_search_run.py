import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.jobs import folder
from autoprune.commands.ticket.prepare import prepare
from autoprune.commands.ticket.studies.search_run import read_search
from autoprune.commands.ticket.ticket import Ticket
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import text_writer
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.problem.granularity.parse import Granularity
from autoprune.runs.artifacts import Artifacts


def test_initial_weights_of_a_network_trained_elsewhere(search_run, given_run, tmp_path):
    with pytest.raises(UsageError, match="no initial weights to rewind to") as caught:
        read_search(given_run / "run")
    assert "--initial FILE" in caught.value.hint
    first = str(search_run / "initial.safetensors")
    named = read_search(given_run / "run", first)
    stored = load_file(first)
    assert all(torch.equal(named.initial[name], value) for name, value in stored.items())
    base = load_file(search_run / "base.safetensors")
    assert all(torch.equal(named.base[name], value) for name, value in base.items())
    with pytest.raises(DamagedError, match="does not fit the model"):
        save_file({"w": torch.ones(1)}, tmp_path / "other.safetensors")
        read_search(given_run / "run", str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.json", "a string"),
        ("model.json", []),
        ("config.json", None),
        ("config.json", {"command": "search", "config": [], "facts": {}}),
        ("config.json", {"command": ["search"], "config": {}, "facts": {}}),
        ("config.json", {"command": "search", "config": {}}),
    ],
)
def test_files_of_another_shape_are_damage(search_run, tmp_path, name, content):
    shutil.copytree(search_run, tmp_path / "copy")
    Artifacts(tmp_path / "copy").publish(name, text_writer(json.dumps(content)))
    with pytest.raises(DamagedError, match="does not hold what autoprune writes"):
        read_search(tmp_path / "copy")


def test_initial_weights_come_with_a_network_that_autoprune_trained(search_run, tmp_path):
    """A search keeps what the run that it names began with; ``--initial`` takes runs too."""
    config = SearchConfig(
        budget="0.7flops",
        model="digits-resnet",
        weights=str(search_run),
        agent="uniform",
        granularity="2:4",
        evaluations=1,
        finetune_epochs=0,
        baseline=False,
        run=str(tmp_path / "search"),
    )
    run_search(config, Silent())
    stored = load_file(search_run / "initial.safetensors")
    for search in (
        read_search(tmp_path / "search"),
        read_search(tmp_path / "search", str(search_run)),
    ):
        assert all(torch.equal(search.initial[name], value) for name, value in stored.items())
    study, _ = prepare(TicketConfig(run=str(tmp_path / "search"), iterations=3, seeds=1))
    assert 0.6 < study.mask.macs <= 0.7
    jobs = {job.kind: job for job in study.jobs() if job.mask == "mask"}
    study.carry_out(jobs["ticket"], tmp_path, lambda steps: None)
    ticket = Ticket.load(folder(tmp_path, 0, "mask"))
    for name, mask in ticket.masks.items():
        assert ticket.trained[name][~mask].eq(0).all()
    mixed = study.mask.shuffled(5).weights
    pattern = Granularity.parse("2:4")
    for name, mask in mixed.items():
        assert mask.sum() == study.mask.weights[name].sum()
        rows = mask.movedim(1, -1).reshape(len(mask), -1)
        rows = rows[:, : rows.shape[1] // 4 * 4].reshape(len(rows), -1, 4)
        whole = rows.flatten(1).all(1)
        assert rows[~whole].sum(2).eq(pattern.block[0]).all()
    assert any(not torch.equal(mixed[name], mask) for name, mask in study.mask.weights.items())


def test_trained_weights_that_changed_are_not_the_ones_searched(given_run, search_run):
    weights = given_run / "weights.safetensors"
    before = weights.read_bytes()
    try:
        shutil.copyfile(search_run / "initial.safetensors", weights)
        with pytest.raises(UsageError, match="changed since the search"):
            read_search(given_run / "run", str(search_run / "initial.safetensors"))
    finally:
        weights.write_bytes(before)
