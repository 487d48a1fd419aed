import json
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from autoprune.cli.main import main
from autoprune.commands.profile.run import profile
from autoprune.cost.energy import EnergyTable
from autoprune.cost.latency.deployed import deployed
from autoprune.cost.latency.layers import module_times
from autoprune.cost.latency.onnx import PACKAGES
from autoprune.cost.model import CostModel
from autoprune.data.classification import Classification
from autoprune.networks.execution import Form
from autoprune.structure.analyze import analyze


class Shared(nn.Module):
    """A layer called twice, attention inside a module, and a weight used by the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.table = nn.Parameter(torch.randn(8, 3))
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = self.twice(self.twice(x).relu())
        x = self.norm(self.attention(x, x, x, need_weights=False)[0])
        return (x @ self.table).mean(1)


def test_parts_add_up_to_the_whole():
    torch.manual_seed(0)
    model, inputs = Shared().eval(), torch.randn(4, 5, 8)
    structure = analyze(model, inputs)
    batch = (inputs, torch.zeros(4, dtype=torch.long))
    names = {layer.module for layer in structure.layers}
    assert {"", "twice", "attention"} <= names
    with deployed(model, Classification(), batch, Form()) as network:
        [(times, whole)] = module_times([network], names, torch.device("cpu"))
    assert set(times) == {"twice"}, "others hold modules whose time is not theirs"
    assert 0 < times["twice"] < whole
    assert not model.twice._forward_hooks and not model._forward_pre_hooks
    names_of = {"device": "cpu", "model": "shared", "data": "noise"}
    found = profile(structure, EnergyTable(), times, whole, batch=4, **names_of)
    assert len(found.layers) == len(names)
    cost = CostModel(structure)
    for field, dense in (
        ("macs", cost.macs.dense),
        ("parameters", cost.parameters.dense),
        ("bytes", cost.bytes.dense),
        ("picojoules", cost.energy.dense / 1000),
        ("milliseconds", whole),
    ):
        parts = [getattr(row, field) or 0 for row in (*found.layers, found.other)]
        assert sum(parts) == pytest.approx(dense), field
        assert getattr(found.total, field) == pytest.approx(dense)
    twice = next(row for row in found.layers if row.name == "twice")
    assert twice.macs == 2 * 5 * 64 and twice.parameters == 72


def test_the_command_profiles_every_layer(tmp_path, capsys):
    prices = tmp_path / "prices.json"
    prices.write_text('{"dram": 0}')
    assert main(["profile", "--energy", str(prices), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "DRAM 0" in facts["assumptions"][0] and facts["batch"] == 64
    rows = [*facts["layers"], facts["other"]]
    assert sum(row["macs"] for row in rows) == facts["total"]["macs"]
    assert all(row["milliseconds"] > 0 for row in facts["layers"])
    assert main(["profile"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "everything else" in shown and "energy is a model" in shown and "layer1.0.conv1" in shown


def test_bad_requests_are_refused_in_one_line(tmp_path, capsys):
    prices = tmp_path / "prices.json"
    prices.write_text('{"dram": -1}')
    assert main(["profile", "--energy", str(prices)]) == 2
    assert "dram" in capsys.readouterr().err
    assert main(["profile", "--energy", str(tmp_path / "none.json")]) == 4
    assert main(["profile", "--device", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.skipif(
    any(find_spec(name) is None for name in PACKAGES), reason="pip install 'autoprune[onnx]'"
)
def test_layers_can_be_timed_by_onnxruntime(capsys):
    assert main(["profile", "--backend", "onnxruntime", "--latency-batch", "8", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "onnxruntime" in facts["device"] and facts["batch"] == 8
    assert all(row["milliseconds"] > 0 for row in facts["layers"])
    assert main(["profile", "--latency-batch", "0"]) == 2
    assert "--latency-batch must be at least 1" in capsys.readouterr().err
