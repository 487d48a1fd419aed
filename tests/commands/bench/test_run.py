import json

import numpy as np
import pytest
import torch

from autoprune.cli.main import main
from autoprune.commands.bench.plans import PLANS
from autoprune.commands.bench.result import Bench, Blame, PlanFigures, Reference, Row
from autoprune.commands.bench.view import bench_markdown, bench_view
from autoprune.cost.latency import width_steps
from autoprune.cost.polynomial import CostModel
from autoprune.networks import zoo
from autoprune.structure.analyze import analyze
from tests.commands.report.test_views import show

CPU = torch.device("cpu")
SCHEMA = {
    *("model", "rate", "bytes_before", "bytes_after", "ms_before", "ms_after"),
    *("macs_before", "macs_after", "accuracy_before", "accuracy_after"),
}


@pytest.fixture(scope="module")
def structure():
    torch.manual_seed(0)
    return analyze(zoo.build("conv-2").eval(), torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.9])
def test_plans_remove_as_many_units_as_the_rate_says(structure, rate):
    sizes = np.array(list(structure.sizes.values()))
    plans = {name: make(structure, rate, CPU) for name, make in PLANS.items()}
    kept = {name: np.array([plan[g] for g in structure.sizes]) for name, plan in plans.items()}
    steps = np.array(width_steps(sizes.tolist(), CPU))
    for plan in plans.values():
        plan.check(structure)
    assert np.abs(kept["even"] - (1 - rate) * sizes).max() <= 0.5
    assert (kept["aligned"] <= np.maximum((1 - rate) * sizes, 1)).all()
    wide = kept["aligned"] >= steps
    assert (kept["aligned"][wide] % steps[wide] == 0).all()
    assert kept["uneven"].sum() <= (1 - rate) * sizes.sum() + len(sizes)
    cost = CostModel(structure)
    if rate == 0.5:
        assert cost.parameters(plans["uneven"]) < cost.parameters(plans["even"])


def figures(**changes):
    facts = {"plan": "even", "bytes_before": 400, "bytes_after": 100, "ms_before": 8.0}
    facts |= {"ms_after": 2.5, "macs_before": 1000, "macs_after": 250}
    facts |= {"blame": (Blame("features.0", 1.1, 4.0, 0.25),)}
    return PlanFigures(**facts | changes)


def test_what_counts_as_met():
    aims = Reference(4.0, 3.2)
    assert figures().met(aims) == 2, "realised 0.8 is missed"
    assert figures(ms_after=2.0).met(aims) == 3
    assert figures(bytes_after=102).met(aims) == 1
    assert figures(bytes_after=100.5).met(aims) == 2, "rounded as published"
    assert figures(ms_after=2.0).met(None) == 1


def test_a_missed_aim_and_the_layers_to_blame_are_shown():
    row = Row("vgg19", 0.5, 64, "float32, channels last", figures(), (figures(),), Reference(5, 2))
    on = {"device": "cpu: some", "cores": 2, "threads": 1, "torch": "2"}
    bench = Bench((row,), on)
    facts = json.loads(json.dumps(bench.to_json()))
    for text in (bench_markdown(facts), show(bench_view(bench), 100)):
        words = " ".join(text.split())
        for word in ("5.0 missed", "2.0 met", "0.80", "features.0 (x1.1 of x4.0, 0.25 ms)"):
            assert word in words


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
