import json

import pytest

from autoprune.cli.main import main


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
