import json

import pytest
import torch

from autoprune.cli.main import main
from autoprune.cost.model import CostModel
from autoprune.networks import zoo
from autoprune.structure.analyze import analyze
from autoprune.structure.depth import deepened
from autoprune.structure.slicing import Slicer


def test_inspect_says_what_can_be_pruned(capsys):
    assert main(["inspect"]) == 0
    out, err = capsys.readouterr()
    assert "digits-resnet" in out
    assert "layer1.0.conv1" in out
    assert "model output" in out
    assert err.startswith("analyzing   ...\nanalyzing   in ")


def test_inspect_of_a_network_from_a_file(tmp_path, capsys, monkeypatch):
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n\n\n"
        "def build():\n"
        "    conv, head = nn.Conv2d(1, 6, 3), nn.Linear(216, 10)\n"
        "    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "--model", "mynet.py:build", "--json"]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    facts = json.loads(out)
    assert [(group["name"], group["size"]) for group in facts["groups"]] == [("0", 6)]
    assert facts["parameters"] == 6 * 9 + 6 + 216 * 10 + 10
    assert facts["macs"] == 6 * 9 * 36 + 216 * 10
    assert facts["flops"] == 2 * facts["macs"]
    assert facts["pinned"][-1]["reason"] == "model output"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--model", "resnet21"], "resnet20"),
        (["--model", "nowhere.py:build"], "nowhere.py"),
        (["--model", "os:system"], "os:system"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--model", "resnet20", "--data", "nowhere/"], "nowhere"),
        (["--task", "classificaton"], "classification"),
    ],
)
def test_inspect_of_what_is_not_there_gets_one_line(
    arguments, named, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("autoprune: error: ")
    assert named in last


def test_branches_are_listed_with_what_goes_with_them(capsys):
    assert main(["inspect", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    names = [branch["name"] for branch in facts["branches"]]
    assert names == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    structure = analyze(zoo.build("digits-resnet"), torch.randn(2, 1, 8, 8))
    slicer = Slicer(zoo.build("digits-resnet"), deepened(structure))
    for branch in facts["branches"]:
        left = slicer.build({branch["name"]: torch.arange(0)})
        macs = CostModel(analyze(left, torch.randn(2, 1, 8, 8))).macs.dense
        assert branch["macs_share"] == pytest.approx(1 - macs / facts["macs"], abs=1e-6)
        assert branch["inside"] is None and branch["groups"] == 1
        assert 0 < branch["time_share"] < 1
