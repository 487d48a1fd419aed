"""Searches that may take out branches, from end to end, on a user's own residual network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

import autoprune
from autoprune.cli.main import main
from autoprune.errors import UsageError
from autoprune.structure.depth import deepened
from autoprune.structure.table import BRANCH
from tests import owncode

BLOCKS = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.block = nn.ModuleList([Block(8) for _ in range(4)])
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        for block in self.block:
            x = block(x)
        return self.head(x.mean((2, 3)))


def build():
    torch.manual_seed(0)
    return Blocks()
"""


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Work in a directory with a user's files, and trained weights."""
    place = tmp_path_factory.mktemp("deep")
    owncode.write(place)
    (place / "blocks.py").write_text(BLOCKS)
    code = made(BLOCKS, owncode.DATA)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        model, ((images, labels), _) = code["build"](), code["loaders"]()
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(40):
            optimizer.zero_grad()
            cross_entropy(model(images), labels).backward()
            optimizer.step()
        torch.save(model.state_dict(), "blocks.pt")
        yield place


def made(*sources: str) -> dict[str, Any]:
    """Run code; return its names."""
    names: dict[str, Any] = {}
    for source in sources:
        exec(source, names)
    return names


def run(capsys, command, **options):
    """Run a command on the network; return its object."""
    words = {"model": "blocks.py:build", "weights": "blocks.pt", "data": "mydata.py:loaders"}
    words |= {"budget": "0.3flops", "depth": "auto", "finetune-epochs": "1"}
    words |= {name.replace("_", "-"): str(value) for name, value in options.items()}
    arguments = [text for name, value in words.items() for text in (f"--{name}", value)]
    code = main([command, "--json", *arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def gone(result):
    return {name for name, kept in result["plan"].items() if not kept and "conv" not in name}


@pytest.mark.parametrize("agent", ["dp", "ddpg"])
def test_a_search_takes_out_branches_and_what_it_stores_is_the_network(agent, place, capsys):
    options = {"agent": agent, "evaluations": 8, "run": agent, "align": 8}
    result = run(capsys, "search", **options)
    assert gone(result)
    stored = json.loads((place / agent / "plan.json").read_text())
    assert stored["format"] == 2 and stored["keep"] == result["plan"]
    loaded = autoprune.load(place / agent, trust_code=True).eval()
    tensors = load_file(place / agent / "model.safetensors")
    assert (
        sum(tensor.numel() for tensor in loaded.parameters()) == result["recovered"]["parameters"]
    )
    assert type(loaded).__name__ == "Blocks"
    for name in gone(result):
        assert not any(key.startswith(f"{name}.conv1") for key in tensors)
    assert run(capsys, "search", **options) == result


def test_the_plan_of_a_run_is_a_plan_by_hand_and_leads_to_the_same_bytes(place, capsys):
    found = run(capsys, "prune", plan='{"block.1": 0, "stem": 0.75}', budget="1flops", run="hand")
    assert gone(found) == {"block.1"}
    again = run(capsys, "prune", plan="hand/plan.json", budget="1flops", run="again")
    assert again["plan"] == found["plan"]
    files = [Path(one, "model.safetensors").read_bytes() for one in ("hand", "again")]
    assert files[0] == files[1]


def test_the_shipped_policy_decides_widths_where_the_errors_say_what_goes(place, capsys):
    result = run(capsys, "apply", align=8, run="applied")
    assert gone(result)
    assert result["pruned"]["macs"] <= 0.3 * result["base"]["macs"]


@pytest.mark.parametrize("keep", ["block.1", "block.2.conv1"])
def test_what_is_to_stay_stays(keep, place, capsys):
    words = {"agent": "dp", "evaluations": 5, "budget": "0.7flops", "align": 8}
    result = run(capsys, "search", keep=keep, run=f"kept-{keep}", **words)
    assert gone(result)
    assert keep[:7] not in gone(result)


def test_python_decides_branches_too(place):
    code = made(BLOCKS, owncode.DATA)
    model = code["build"]()
    posed = autoprune.pose(model, code["loaders"](), "0.3flops", depth="auto", progress=False)
    names = [group.name for group in posed.structure.groups if group.kind == BRANCH]
    assert names == [f"block.{place}" for place in range(4)]
    assert posed.structure.groups == deepened(posed.structure).groups
    with pytest.raises(UsageError, match="there is no depth 'deep'"):
        autoprune.pose(model, code["loaders"](), depth="deep")  # type: ignore[arg-type]


def test_a_budget_that_only_depth_reaches_names_both_minima(place, capsys):
    words = ["--model", "blocks.py:build", "--weights", "blocks.pt", "--data", "mydata.py:loaders"]
    assert main(["search", *words, "--budget", "0.1flops", "--align", "8"]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "ask for at least 1flops, or let branches go with --depth auto, which reaches" in said
    assert main(["search", *words, "--budget", "0.0001flops"]) == 3
    assert "--depth" not in capsys.readouterr().err


def test_a_network_without_branches_is_said(place, capsys):
    torch.save(made(owncode.NETS)["build"]().state_dict(), "small.pt")
    words = ["--model", "nets.py:build", "--weights", "small.pt", "--data", "mydata.py:loaders"]
    words += ["--finetune-epochs", "0"]
    assert main(["prune", *words, "--budget", "0.5flops", "--depth", "auto"]) == 0
    assert "no branch of this network can go: widths only" in capsys.readouterr().err
