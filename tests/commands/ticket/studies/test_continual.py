import torch

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.jobs import folder
from autoprune.commands.ticket.prepare import prepare
from autoprune.commands.ticket.run import run_ticket
from autoprune.commands.ticket.studies.continual import week_splits
from autoprune.commands.ticket.ticket import Ticket
from autoprune.foundation.progress import Silent
from tests.tickets import BRIEF


def test_a_ticket_of_the_first_week_is_trained_on_every_later_one(tmp_path):
    config = TicketConfig(run_dir=str(tmp_path), weeks=3, **BRIEF)
    result = run_ticket(config, Silent())
    assert [level["name"] for level in result["levels"]] == ["week-02", "week-03"]
    study, _ = prepare(config)
    train = study.experiment.splits.train
    parts = [week_splits(study.experiment, week, 3).train.content[0] for week in (1, 2, 3)]
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
