import pytest
import torch

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.jobs import folder
from autoprune.commands.ticket.run import run_ticket
from autoprune.commands.ticket.ticket import Ticket
from autoprune.errors import UsageError
from autoprune.foundation.progress import Silent
from tests.killing import Dies
from tests.tickets import BRIEF

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
        run_dir=str(home), data=f"{halves}:low", transfer_to=f"{halves}:high", **BRIEF
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
        **BRIEF,
    )
    with pytest.raises(UsageError, match=r"does not fit .*: fc1.weight is"):
        run_ticket(config, Dies("tickets", 0))
    assert not (tmp_path / "run").exists()
