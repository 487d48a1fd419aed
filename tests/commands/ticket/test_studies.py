"""Masks of searches, early tickets, transfer and continued use."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.continual import weekly
from autoprune.commands.ticket.jobs import folder
from autoprune.commands.ticket.retrain import STARTS
from autoprune.commands.ticket.run import run_ticket
from autoprune.commands.ticket.search_mask import Mask, masked_macs
from autoprune.commands.ticket.search_run import read_source
from autoprune.commands.ticket.studies import prepare
from autoprune.commands.ticket.ticket import Ticket
from autoprune.cost.model import CostModel
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.granularity.parse import Granularity
from autoprune.training.loop import FitConfig
from tests.killing import Dies, Killed

SHORT = {"levels": 2, "iterations": 30, "seeds": 1, "rate": 0.5, "workers": 1}


@pytest.fixture(scope="module")
def search_run(tmp_path_factory):
    """A search with a network that trains in no time."""
    home = tmp_path_factory.mktemp("search") / "run"
    config = SearchConfig(
        budget="0.3flops",
        agent="uniform",
        ranking="l1",
        evaluations=1,
        finetune_epochs=0,
        baseline=False,
        run=str(home),
    )
    run_search(config, Silent(), Tuning(training=FitConfig(epochs=1, batch_size=64)))
    return home


def test_the_mask_of_a_search_is_trained_from_every_start(search_run, tmp_path):
    config = TicketConfig(
        run=str(search_run), run_dir=str(tmp_path), iterations=4, seeds=1, workers=1
    )
    with pytest.raises(Killed):
        run_ticket(config, Dies("tickets", 6))
    result = run_ticket(config, Silent())
    (entry,) = result["levels"][0]["seeds"]
    assert set(STARTS) < set(entry)
    assert 0.29 < result["macs"] <= 0.3
    assert entry["reinit_same_flops"]["early_stop"] <= 4 / result["macs"]
    ticket = Ticket.load(folder(tmp_path, 0, "mask"))
    stored = load_file(search_run / "masks.safetensors")
    assert all(torch.equal(mask, stored[name]) for name, mask in ticket.masks.items())
    assert "Too few seeds" in result["verdict"][0]


def test_masks_that_do_not_fit_and_runs_without_initial_weights(search_run, tmp_path):
    with pytest.raises(UsageError, match="holds no mask"):
        read_source(tmp_path)
    source = read_source(search_run)
    study, _ = prepare(TicketConfig(run=str(search_run)))
    broken = {name: mask.clone() for name, mask in source.masks.items()}
    next(iter(broken.values())).view(-1)[0] ^= True
    strange = {"gone": torch.ones(1, dtype=torch.bool)}
    shape = {"conv1.weight": torch.ones(1, 2, dtype=torch.bool)}
    for granularity, masks in (
        *(("channel", masks) for masks in (broken, {}, strange)),
        *(("weight", masks) for masks in ({}, strange, shape)),
    ):
        grain = Granularity.parse(granularity)
        with pytest.raises(UsageError, match="the mask does not fit the network"):
            Mask.of(replace(source, masks=masks, granularity=grain), study.setting)
    bare = tmp_path / "bare"
    shutil.copytree(search_run, bare)
    (bare / "initial.safetensors").unlink()
    with pytest.raises(UsageError, match="no initial weights to rewind to"):
        read_source(bare)


@pytest.fixture(scope="module")
def given_run(search_run, tmp_path_factory):
    """A search of a network that was trained before, and the file of its weights."""
    home = tmp_path_factory.mktemp("given")
    shutil.copyfile(search_run / "base.safetensors", home / "weights.safetensors")
    config = SearchConfig(
        budget="0.3flops",
        model="digits-resnet",
        weights=str(home / "weights.safetensors"),
        agent="uniform",
        ranking="l1",
        evaluations=1,
        finetune_epochs=0,
        baseline=False,
        run=str(home / "run"),
    )
    run_search(config, Silent())
    return home


def test_initial_weights_of_a_network_trained_elsewhere(search_run, given_run, tmp_path):
    with pytest.raises(UsageError, match="no initial weights to rewind to") as caught:
        read_source(given_run / "run")
    assert "--initial FILE" in caught.value.hint
    first = str(search_run / "initial.safetensors")
    named = read_source(given_run / "run", first)
    stored = load_file(first)
    assert all(torch.equal(named.initial[name], value) for name, value in stored.items())
    base = load_file(search_run / "base.safetensors")
    assert all(torch.equal(named.base[name], value) for name, value in base.items())
    with pytest.raises(DamagedError, match="does not fit the model"):
        save_file({"w": torch.ones(1)}, tmp_path / "other.safetensors")
        read_source(given_run / "run", str(tmp_path / "other.safetensors"))


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
    for source in (
        read_source(tmp_path / "search"),
        read_source(tmp_path / "search", str(search_run)),
    ):
        assert all(torch.equal(source.initial[name], value) for name, value in stored.items())
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
            read_source(given_run / "run", str(search_run / "initial.safetensors"))
    finally:
        weights.write_bytes(before)


def test_a_mask_of_weights_trains_the_dense_network_with_zeros(search_run, tmp_path):
    study, _ = prepare(TicketConfig(run=str(search_run), iterations=3, seeds=1))
    network = study.setting.network(0)
    masks = m.prune_by_layer(dict(network.named_parameters()), m.full(network), 0.5)
    source = replace(study.source, masks=masks, granularity=Granularity.parse("weight"))
    weighed = replace(study, source=source)
    dense = CostModel(weighed.mask.structure).macs.dense
    assert masked_macs(weighed.mask.structure, m.full(network)) == dense
    assert 0.4 < weighed.mask.macs < 0.6
    jobs = {job.kind: job for job in weighed.jobs() if job.mask == "mask"}
    assert jobs["reinit_same_flops"].steps == round(3 / weighed.mask.macs)
    record = weighed.carry_out(jobs["ticket"], tmp_path, lambda steps: None)
    assert record["remaining"] == pytest.approx(m.remaining(masks))
    ticket = Ticket.load(folder(tmp_path, 0, "mask"))
    assert all(ticket.trained[name][~mask].eq(0).all() for name, mask in masks.items())
    mixed = weighed.mask.shuffled(1)
    assert m.shares(mixed.weights) == m.shares(masks)


def test_early_masks_keep_as_many_weights_and_start_from_the_same(tmp_path):
    names = "10it,1ep,early-bird,early-overlap,magnitude,snip,grasp,synflow"
    config = TicketConfig(run_dir=str(tmp_path), early=names, **SHORT)
    result = run_ticket(config, Silent())
    assert [level["name"] for level in result["levels"]] == [*names.split(","), "end"]
    tickets = {name: Ticket.load(folder(tmp_path, 0, name)) for name in (*names.split(","), "end")}
    kept = {sum(int(mask.sum()) for mask in t.masks.values()) for t in tickets.values()}
    assert len(kept) == 1
    dense = Ticket.load(folder(tmp_path, 0, "dense"))
    for ticket in tickets.values():
        assert all(torch.equal(ticket.initial[k], v) for k, v in dense.initial.items())
    facts = {name: seeds[0] for name, seeds in result["masks"].items()}
    assert (facts["10it"]["drawn_at"], facts["1ep"]["drawn_at"]) == (10, 17)
    assert [facts["end"][name] for name in ("drawn_at", "distance", "overlap")] == [30, 0, 1]
    assert facts["10it"]["overlap"] < facts["1ep"]["overlap"] < 1
    assert facts["snip"]["overlap"] < facts["magnitude"]["overlap"]
    with pytest.raises(Killed):
        run_ticket(replace(config, seeds=2), Dies("tickets", 40))
    again = run_ticket(config, Silent())
    assert again["levels"] == result["levels"]
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("seed-0/*/*.safetensors"))}
    shutil.rmtree(folder(tmp_path, 0, "10it"))
    assert run_ticket(config, Silent()) == again
    assert {path: path.read_bytes() for path in before} == before


HALVES = """
import torch
from sklearn.datasets import load_digits

def cut(low, high, size=8):
    found = load_digits()
    images = torch.tensor(found.images[:, None, :size, :size] / 16, dtype=torch.float32)
    labels = torch.tensor(found.target)
    here = (labels >= low) & (labels <= high)
    images, labels = images[here], labels[here] - low
    count = len(images) * 4 // 5
    return (images[:count], labels[:count]), (images[count:], labels[count:])

def low():
    return cut(0, 4)

def high():
    return cut(4, 9)

def narrow():
    return cut(0, 4, size=6)
"""


@pytest.fixture
def halves(tmp_path):
    path = tmp_path / "halves.py"
    path.write_text(HALVES)
    return str(path)


def test_a_ticket_is_trained_on_other_data_with_other_classes(halves, tmp_path):
    home = tmp_path / "run"
    config = TicketConfig(
        run_dir=str(home), data=f"{halves}:low", transfer_to=f"{halves}:high", **SHORT
    )
    result = run_ticket(config, Silent())
    (level,) = result["levels"]
    assert list(level["seeds"][0])[1:] == ["ticket", "dense", "reinit", "shuffled", "own"]
    there = Ticket.load(folder(home, 0, "source/level-02"))
    moved = Ticket.load(folder(home, 0, "transferred"))
    own = Ticket.load(folder(home, 0, "own/level-02"))
    assert (there.masks["fc3.weight"].shape[0], moved.masks["fc3.weight"].shape[0]) == (5, 6)
    assert moved.masks["fc3.weight"].all(), "another output layer is whole"
    for name in ("fc1.weight", "fc2.weight"):
        assert torch.equal(there.masks[name], moved.masks[name])
        assert torch.equal(there.initial[name], moved.initial[name])
    assert torch.equal(own.initial["fc3.weight"], moved.initial["fc3.weight"])
    overlaps = result["overlap"][0]["layers"]
    both = (there.masks["fc1.weight"] & own.masks["fc1.weight"]).sum()
    assert overlaps["fc1.weight"] == int(both) / int(own.masks["fc1.weight"].sum())
    assert result["own_remaining"] < level["remaining"]


def test_a_ticket_for_other_inputs_is_refused(halves, tmp_path):
    config = TicketConfig(
        run_dir=str(tmp_path / "run"),
        data=f"{halves}:low",
        transfer_to=f"{halves}:narrow",
        **SHORT,
    )
    with pytest.raises(UsageError, match=r"does not fit .*: fc1.weight is"):
        run_ticket(config, Dies("tickets", 0))
    assert not (tmp_path / "run").exists()


def test_a_ticket_of_the_first_week_is_trained_on_every_later_one(tmp_path):
    config = TicketConfig(run_dir=str(tmp_path), weeks=3, **SHORT)
    result = run_ticket(config, Silent())
    assert [level["name"] for level in result["levels"]] == ["week-02", "week-03"]
    study, _ = prepare(config)
    train = study.setting.splits.train
    parts = [weekly(study.setting, week, 3).train.content[0] for week in (1, 2, 3)]
    assert torch.equal(torch.cat(parts), train.content[0])
    ticket = Ticket.load(folder(tmp_path, 0, "level-02"))
    middle = Ticket.load(folder(tmp_path, 0, "level-01"))
    counts = [sum(int(mask.sum()) for mask in t.masks.values()) for t in (middle, ticket)]
    whole = 64 * 300 + 300 * 100 + 100 * 10  # a weight of LeNet is used once per sample
    per = 3 * 60 * 30  # forward and backward, batch, iterations
    spent = result["training_macs"]
    assert spent["dense_week"] == whole * per
    assert spent["ticket_week"] == counts[1] * per
    assert spent["finding"] == (whole + sum(counts)) * per
    assert spent["dense_total"] == 3 * whole * per
    assert spent["ticket_total"] == spent["finding"] + 2 * counts[1] * per
    saved = spent["dense_week"] - spent["ticket_week"]
    after = spent["pays_after_weeks"]
    extra = spent["finding"] - spent["dense_week"]
    assert (after - 1) * saved >= extra > (after - 2) * saved
