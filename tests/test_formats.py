"""What the first release wrote must keep loading: tests/data/format-1 is never written again."""

import shutil
from pathlib import Path

import pytest
import torch

from autoprune import load
from autoprune.agents.policy import Policy
from autoprune.commands.report.status import read_status
from autoprune.commands.ticket.ticket import Ticket
from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.result import Trained
from autoprune.errors import DamagedError
from autoprune.foundation import user_code as factories
from autoprune.foundation.files import pretty, text_writer
from autoprune.networks.weights import initial_file, load_weights, read_tensors
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Result
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.journal import read_journal
from autoprune.runs.run import Run
from autoprune.structure.plan import Plan
from tests import owncode

FIRST = Path(__file__).parent / "data" / "format-1"


@pytest.fixture
def net(tmp_path):
    owncode.write(tmp_path)
    return factories.load(f"{tmp_path / 'nets.py'}:build")[0]()


def test_every_file_is_what_was_published():
    for folder in (FIRST / "search", FIRST / "train", FIRST / "ticket"):
        artifacts = Artifacts(folder)
        assert artifacts.damaged == []
        assert len(artifacts.names) >= 4


def test_the_network_of_a_search_loads_and_computes(net):
    model = load(FIRST / "search", net)
    assert (model.conv1.out_channels, model.conv2.out_channels) == (5, 6)
    with torch.no_grad():
        outputs = model(torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8))
    expected = torch.tensor([0.277507, -0.235213, -0.018381])
    torch.testing.assert_close(outputs[0], expected, rtol=1e-4, atol=1e-5)


def test_result_plan_and_journal_read():
    result = Result.from_json(Artifacts(FIRST / "search").json("result.json"))
    plan = Plan.from_json(Artifacts(FIRST / "search").json("plan.json")["keep"])
    assert result.plan == plan == Plan((("conv1", 5), ("conv2", 6)))
    records = read_journal(FIRST / "search" / "evaluations.jsonl")
    assert [record["evaluation"] for record in records] == [1, 2, 3, 4, 5]
    assert read_status(FIRST / "search").to_json()["finished"]


def test_its_policy_is_refused_since_observations_meant_other_errors_then():
    with pytest.raises(DamagedError, match="trained on other observations than ours"):
        Policy.load(FIRST / "search")


def test_a_run_goes_on(tmp_path):
    copy = Path(shutil.copytree(FIRST / "search", tmp_path / "copy"))
    meta = Artifacts(copy).json("config.json")
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
    result = Trained.from_json(Artifacts(FIRST / "train").json("result.json"))
    assert (result.epochs, result.steps, result.accuracy) == (3, 12, 0.4)
    status = read_status(FIRST / "train")
    assert [record["epoch"] for record in status.records] == [1, 2, 3]
    copy = Path(shutil.copytree(FIRST / "train", tmp_path / "copy"))
    with Run(copy, TrainConfig.from_json(status.config)) as run:
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
    described = Artifacts(copy).json("model.json")
    described["widths"] = [["bn1", "num_features", size]]
    Artifacts(copy).publish("model.json", text_writer(pretty(described)))
    with pytest.raises(DamagedError, match="'bn1' is smaller than expected"):
        load(copy, net)
