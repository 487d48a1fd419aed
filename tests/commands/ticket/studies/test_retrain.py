from dataclasses import replace

import pytest
import torch

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.jobs import folder
from autoprune.commands.ticket.masks import full_masks, kept_by_layer, kept_fraction, prune_by_layer
from autoprune.commands.ticket.prepare import prepare
from autoprune.commands.ticket.run import run_ticket
from autoprune.commands.ticket.studies.retrain import STARTS
from autoprune.commands.ticket.studies.search_mask import masked_macs
from autoprune.commands.ticket.ticket import Ticket
from autoprune.cost.model import CostModel
from autoprune.foundation.progress import Silent
from autoprune.networks.weights import read_masks
from autoprune.problem.granularity.parse import Granularity
from tests.killing import Dies, Killed


def test_the_mask_of_a_search_is_trained_from_every_start(search_run, tmp_path):
    config = TicketConfig(
        run=str(search_run), run_dir=str(tmp_path), iterations=4, seeds=1, workers=1
    )
    with pytest.raises(Killed):
        run_ticket(config, Dies("tickets", 6))
    result = run_ticket(config, Silent())
    (entry,) = result["levels"][0]["seeds"]
    assert set(STARTS) < set(entry)
    assert 0.27 < result["macs"] <= 0.3  # within a step of the default alignment
    assert entry["reinit_same_flops"]["early_stop"] <= 4 / result["macs"]
    ticket = Ticket.load(folder(tmp_path, 0, "mask"))
    stored = read_masks(search_run / "masks.safetensors")
    assert all(torch.equal(mask, stored[name]) for name, mask in ticket.masks.items())
    assert "Too few seeds" in result["verdict"][0]


def test_a_mask_of_weights_trains_the_dense_network_with_zeros(search_run, tmp_path):
    study, _ = prepare(TicketConfig(run=str(search_run), iterations=3, seeds=1))
    network = study.experiment.network(0)
    masks = prune_by_layer(dict(network.named_parameters()), full_masks(network), 0.5)
    search = replace(study.search, masks=masks, granularity=Granularity.parse("weight"))
    weighed = replace(study, search=search)
    dense = CostModel(weighed.mask.structure).macs.dense
    assert masked_macs(weighed.mask.structure, full_masks(network)) == dense
    assert 0.4 < weighed.mask.macs < 0.6
    jobs = {job.kind: job for job in weighed.jobs() if job.mask == "mask"}
    assert jobs["reinit_same_flops"].steps == round(3 / weighed.mask.macs)
    record = weighed.carry_out(jobs["ticket"], tmp_path, lambda steps: None)
    assert record["remaining"] == pytest.approx(kept_fraction(masks))
    ticket = Ticket.load(folder(tmp_path, 0, "mask"))
    assert all(ticket.trained[name][~mask].eq(0).all() for name, mask in masks.items())
    mixed = weighed.mask.shuffled(1)
    assert kept_by_layer(mixed.weights) == kept_by_layer(masks)
