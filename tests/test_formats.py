"""What the first release wrote must keep loading: tests/data/format-1 is never written again."""

import shutil
from pathlib import Path

import pytest
import torch

from autoprune import factories, load
from autoprune.agents.policy import Policy
from autoprune.artefacts import Artefacts
from autoprune.config import SearchConfig
from autoprune.journal import read_journal
from autoprune.lottery.ticket import Ticket
from autoprune.plan import Plan
from autoprune.result import Result
from autoprune.run import Run
from autoprune.standing import read_standing
from tests import owncode

FIRST = Path(__file__).parent / "data" / "format-1"


@pytest.fixture
def net(tmp_path):
    owncode.write(tmp_path)
    return factories.load(f"{tmp_path / 'nets.py'}:build")[0]()


def test_every_file_is_what_was_published():
    for folder in (FIRST / "search", FIRST / "ticket"):
        artefacts = Artefacts(folder)
        assert artefacts.damaged == []
        assert len(artefacts.names) >= 4


def test_the_network_of_a_search_loads_and_computes(net):
    model = load(FIRST / "search", net)
    assert (model.conv1.out_channels, model.conv2.out_channels) == (5, 6)
    with torch.no_grad():
        outputs = model(torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8))
    expected = torch.tensor([0.277507, -0.235213, -0.018381])
    torch.testing.assert_close(outputs[0], expected, rtol=1e-4, atol=1e-5)


def test_result_plan_journal_and_policy_read():
    result = Result.from_json(Artefacts(FIRST / "search").json("result.json"))
    plan = Plan.from_json(Artefacts(FIRST / "search").json("plan.json")["keep"])
    assert result.plan == plan == Plan((("conv1", 5), ("conv2", 6)))
    records = read_journal(FIRST / "search" / "evaluations.jsonl")
    assert [record["evaluation"] for record in records] == [1, 2, 3, 4, 5]
    assert read_standing(FIRST / "search").to_json()["finished"]
    policy = Policy.load(FIRST / "search")
    assert policy.trained_on["evaluations"] == 5


def test_a_run_goes_on(tmp_path):
    copy = Path(shutil.copytree(FIRST / "search", tmp_path / "copy"))
    meta = Artefacts(copy).json("config.json")
    with Run(copy, SearchConfig.from_json(meta["config"])) as run:
        assert run.resumed and run.finished and run.damaged == []
        assert len(run.journal.records) == 5


def test_a_ticket_loads():
    ticket = Ticket.load(FIRST / "ticket")
    assert ticket.rewind == 2
    assert ticket.facts["accuracy"] == 0.5
    for name, kept in ticket.masks.items():
        assert kept.dtype == torch.bool
        assert kept.shape == ticket.trained[name].shape
        assert torch.equal(ticket.rewound[name], ticket.trained[name] * 0.75)
