"""Training by several processes: the same weights as by one, and who does what."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import multiprocessing, nn

from autoprune.commands.train.team import Received
from autoprune.data.classification import Classification
from autoprune.errors import UsageError
from autoprune.foundation.launch import Launch
from autoprune.training.distributed import Team, synchronized
from autoprune.training.ending import Stopped
from autoprune.training.loop import fit
from tests.training import team_work
from tests.training.team_work import HOW


class Kept:
    """A checkpoint in memory, saved after every step."""

    due, state = True, None

    def load(self):
        return self.state

    def save(self, state):
        self.state = {name: value.clone() for name, value in state.items()}


def alone(checkpoint=None, epochs=2):
    model = team_work.network()

    def stop(done, total, loss):
        if done == epochs:
            raise Stopped

    fit(
        model,
        team_work.images(),
        Classification(),
        HOW,
        masks=team_work.masks(),
        checkpoint=checkpoint,
        on_epoch=stop,
    )
    return model.state_dict()


def test_processes_train_as_one_does_and_go_on_from_its_state(tmp_path):
    torch.set_num_threads(1)
    expected, kept = alone(), Kept()
    alone(kept, epochs=1)
    args = (2, team_work.free_port(), kept.state, str(tmp_path))
    multiprocessing.spawn(team_work.train, args, nprocs=2)
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert not first["4.weight"][~team_work.masks()["4.weight"]].any()
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name].float(), value.float(), rtol=1e-4, atol=1e-5), name


def test_one_process_goes_on_from_the_state_of_several():
    kept = Kept()
    alone(kept, epochs=1)
    there = alone(Received(kept.state))
    assert all(torch.equal(value, there[name]) for name, value in alone().items())


@pytest.mark.parametrize("samples", [1, 2, 5, 8])
def test_parts_make_up_the_batch(samples):
    batch = {"x": torch.arange(3 * samples).view(samples, 3), "y": torch.arange(samples)}
    parts = [Team(Launch(rank, 3), torch.device("cpu")).part(batch) for rank in range(3)]
    assert sum(share for _, share in parts) == pytest.approx(1)
    if samples < 3:  # too few to share
        assert all(part is batch for part, _ in parts)
        return
    for name, value in batch.items():
        assert torch.equal(torch.cat([part[name] for part, _ in parts]), value)
    assert [len(part["y"]) / samples for part, _ in parts] == [share for _, share in parts]


def test_norms_are_as_before_afterwards():
    net = nn.Sequential(nn.BatchNorm2d(2)).eval()
    x = torch.randn(2, 2, 3, 3)
    before = net(x)
    with synchronized(net):
        assert torch.equal(net(x), before)  # nothing is exchanged in evaluation mode
    assert "forward" not in vars(net[0]) and torch.equal(net(x), before)


def test_a_launcher_is_recognized_by_all_that_it_sets():
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert Launch.of(given) == Launch() and Launch().leads
    launch = Launch.of({**given, "TORCHELASTIC_RUN_ID": "none"})
    assert launch == Launch(3, 4, 1, 2) and not launch.leads
    assert Team(launch, torch.device("cpu")).threads(5) == 5
    launch.check("train")
    Launch().check("search")
    with pytest.raises(UsageError, match="search runs in one process, and 4 were launched"):
        replace(launch, rank=0).check("search")


OWN = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Linear(12, 10))
"""


def test_a_command_is_carried_out_together_and_shown_by_one(tmp_path):
    (tmp_path / "own.py").write_text(OWN)

    def launched(*words):
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
        command += ["--master-port", str(team_work.free_port()), "-m", "--", "autoprune", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    train = ["train", "--model", "own.py:build", "--steps", "5", "--run", "r", "--json"]
    done = launched(*train)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 5  # one object, by one process
    assert done.stderr.count("2 processes train together") == 1
    again = launched(*train)
    assert again.returncode == 0 and "r is finished" in again.stderr
    assert json.loads(again.stdout) == json.loads(done.stdout)
    failed = launched(*train[:-2], "other", "--learning-rate", "1e30")
    assert failed.returncode and failed.stderr.count("autoprune: error: ") == 1
    assert "became" in failed.stderr and "internal error" not in failed.stderr


def test_a_search_in_several_processes_is_refused_once(monkeypatch, capfd):
    from autoprune.cli.main import main

    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert main(["search", "--budget", "0.5flops"]) == 2
    assert "search runs in one process" in capfd.readouterr().err
