"""What the first release wrote must keep loading: tests/data/format-1 is never written again."""

import shutil
from pathlib import Path

import pytest
import torch

from autoprune import factories, load
from autoprune.agents.policy import Policy
from autoprune.artefacts import Artefacts
from autoprune.config import SearchConfig, TrainConfig
from autoprune.errors import DamagedError
from autoprune.files import pretty, text_writer
from autoprune.journal import read_journal
from autoprune.lottery.ticket import Ticket
from autoprune.models import initial_file, load_weights, read_tensors
from autoprune.plan import Plan
from autoprune.result import Result
from autoprune.run import Run
from autoprune.standing import read_standing
from autoprune.trained import Trained
from tests import owncode

FIRST = Path(__file__).parent / "data" / "format-1"


@pytest.fixture
def net(tmp_path):
    owncode.write(tmp_path)
    return factories.load(f"{tmp_path / 'nets.py'}:build")[0]()


def test_every_file_is_what_was_published():
    for folder in (FIRST / "search", FIRST / "train", FIRST / "ticket"):
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


def test_result_plan_and_journal_read():
    result = Result.from_json(Artefacts(FIRST / "search").json("result.json"))
    plan = Plan.from_json(Artefacts(FIRST / "search").json("plan.json")["keep"])
    assert result.plan == plan == Plan((("conv1", 5), ("conv2", 6)))
    records = read_journal(FIRST / "search" / "evaluations.jsonl")
    assert [record["evaluation"] for record in records] == [1, 2, 3, 4, 5]
    assert read_standing(FIRST / "search").to_json()["finished"]


def test_its_policy_is_refused_since_observations_meant_other_errors_then():
    with pytest.raises(DamagedError, match="trained on other observations than ours"):
        Policy.load(FIRST / "search")


def test_a_run_goes_on(tmp_path):
    copy = Path(shutil.copytree(FIRST / "search", tmp_path / "copy"))
    meta = Artefacts(copy).json("config.json")
    with Run(copy, SearchConfig.from_json(meta["config"])) as run:
        assert run.resumed and run.finished and run.damaged == []
        assert len(run.journal.records) == 5


def test_a_training_loads_serves_as_weights_and_goes_on(net, tmp_path):
    model, inputs = load(FIRST / "train", net), torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    with torch.no_grad():
        found = model(inputs)
    torch.testing.assert_close(
        found[0], torch.tensor([-0.1494, -0.0031, 0.2585]), atol=1e-3, rtol=0
    )
    initial = read_tensors(initial_file(FIRST / "train"))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(initial)
    load_weights(net, FIRST / "train")
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    result = Trained.from_json(Artefacts(FIRST / "train").json("result.json"))
    assert (result.epochs, result.steps, result.accuracy) == (3, 12, 0.4)
    standing = read_standing(FIRST / "train")
    assert [record["epoch"] for record in standing.records] == [1, 2, 3]
    copy = Path(shutil.copytree(FIRST / "train", tmp_path / "copy"))
    with Run(copy, TrainConfig.from_json(standing.config)) as run:
        assert run.finished and run.damaged == []


def test_a_ticket_loads():
    ticket = Ticket.load(FIRST / "ticket")
    assert ticket.rewind == 2
    assert ticket.facts["accuracy"] == 0.5
    for name, kept in ticket.masks.items():
        assert kept.dtype == torch.bool
        assert kept.shape == ticket.trained[name].shape
        assert torch.equal(ticket.rewound[name], ticket.trained[name] * 0.75)


@pytest.mark.parametrize("size", [9, 2**60])
def test_a_width_beyond_that_of_the_dense_network_is_refused(net, tmp_path, size):
    copy = Path(shutil.copytree(FIRST / "search", tmp_path / "copy"))
    described = Artefacts(copy).json("model.json")
    described["widths"] = [["bn1", "num_features", size]]
    Artefacts(copy).publish("model.json", text_writer(pretty(described)))
    with pytest.raises(DamagedError, match="'bn1' is smaller than expected"):
        load(copy, net)
