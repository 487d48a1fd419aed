import shutil
from dataclasses import replace

import pytest
import torch

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.jobs import folder
from autoprune.commands.ticket.run import run_ticket
from autoprune.commands.ticket.studies.early import RULES, MaskDetector
from autoprune.commands.ticket.ticket import Ticket
from autoprune.foundation.progress import Silent
from tests.killing import Dies, Killed
from tests.tickets import BRIEF


def sparse(*places, size=100):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[list(places)] = True
    return {"w": mask}


def test_a_mask_is_drawn_when_the_last_five_are_the_same():
    steady, other = sparse(*range(50)), sparse(*range(11, 61))
    detector = MaskDetector(RULES["early-bird"])
    for step, masks in enumerate((other, steady, steady, steady, steady), start=1):
        detector.see(step, masks)
    assert detector.at is None, "the first of the five differs at 22 of 100 places"
    detector.see(6, steady)
    detector.see(7, other)
    assert detector.at == 6
    assert torch.equal(detector.drawn["w"], steady["w"])


def test_sparse_masks_look_alike_to_the_distance_but_not_to_the_overlap():
    masks = [sparse(number, 99) for number in range(5)]
    detectors = {name: MaskDetector(rule) for name, rule in RULES.items()}
    for step, each in enumerate(masks, start=1):
        for detector in detectors.values():
            detector.see(step, each)
    assert detectors["early-bird"].at == 5
    assert detectors["early-overlap"].at is None


def test_early_masks_keep_as_many_weights_and_start_from_the_same(tmp_path):
    names = "10it,1ep,early-bird,early-overlap,magnitude,snip,grasp,synflow"
    config = TicketConfig(run_dir=str(tmp_path), early=names, **BRIEF)
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
