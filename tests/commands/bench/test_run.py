import json

import pytest

from autoprune.cli.main import main
from autoprune.networks import zoo

SCHEMA = {
    *("model", "rate", "bytes_before", "bytes_after", "ms_before", "ms_after"),
    *("macs_before", "macs_after", "accuracy_before", "accuracy_after"),
}


def test_the_command_measures_and_writes_everything(tmp_path, capsys):
    arguments = ["bench", "--models", "conv-2", "lenet-300-100", "--batch", "4", "--json"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in facts["rows"]] == ["conv-2", "lenet-300-100"]
    for row in facts["rows"]:
        assert row.keys() >= SCHEMA and row["accuracy_before"] is row["accuracy_after"] is None
        assert row["ms_before"] > 0 and row["ms_after"] > 0 and row["reference"] is None
        model = zoo.build(row["model"])
        dense = sum(p.numel() * 4 for p in model.parameters())
        assert dense < row["bytes_before"] < dense + 5000
        assert row["bytes_after"] < 0.6 * row["bytes_before"]
        assert row["macs_after"] < 0.6 * row["macs_before"]
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == facts
    assert "| conv-2 |" in (tmp_path / "out" / "bench.md").read_text()
    assert (tmp_path / "out" / "bench.svg").read_text().lstrip().startswith("<?xml")


def test_trained_networks_are_scored_before_and_after(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = ["train", "--model", "digits-resnet", "--data", "digits", "--epochs", "2"]
    assert main([*train, "--run", "trained"]) == 0
    capsys.readouterr()
    arguments = ["bench", "--models", "digits-resnet", "--trained", "trained", "--json"]
    assert main([*arguments, "--finetune-epochs", "1", "--output", "out"]) == 0
    [row] = json.loads(capsys.readouterr().out)["rows"]
    result = json.loads((tmp_path / "trained" / "result.json").read_text())
    assert row["accuracy_before"] == pytest.approx(result["accuracy"])
    assert 0 < row["accuracy_after"] <= 1
    assert "->" in (tmp_path / "out" / "bench.md").read_text()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--models", "vgg18"], "vgg19"),
        (["--rate", "1.5"], "--rate must lie between 0 and 1"),
        (["--batch", "0"], "--batch"),
        (["--device", "nonsense"], "nonsense"),
        (["--trained", "nowhere"], "nowhere is not a run"),
    ],
)
def test_bad_requests_are_one_line(options, word, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *options]) == 2
    line = capsys.readouterr().err
    assert word in line and line.count("\n") == 1
    assert not list(tmp_path.iterdir())
