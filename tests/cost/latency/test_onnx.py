"""Operations and networks in onnxruntime."""

import io
from contextlib import suppress
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from autoprune.cost.latency import Survey
from autoprune.cost.latency.cache import Times, machine
from autoprune.cost.latency.calls import Recorder
from autoprune.cost.latency.onnx import PACKAGES, network_in_onnx, operation_in_onnx
from autoprune.data.classification import Classification
from autoprune.errors import UsageError
from autoprune.structure.graph import quiet
from tests.timed_net import CPU, QUICK, TASK, Mixed, batch, of

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in PACKAGES), reason="pip install 'autoprune[onnx]'"
)


@needs_onnx
def test_operations_in_onnx_return_what_pytorch_returns():
    torch.manual_seed(0)
    x, line = torch.randn(2, 4, 9, 9), torch.randn(2, 5, 4)
    lstm = nn.LSTM(4, 3, batch_first=True, bidirectional=True)
    modules = {
        "Conv": (nn.Conv2d(4, 6, 3, 2, 1), x),
        "depthwise": (nn.Conv2d(4, 8, 3, groups=4, bias=False), x),
        "MatMul": (nn.Linear(4, 3), line),
        "norm": (nn.BatchNorm2d(4).eval(), x),
        "MaxPool": (nn.MaxPool2d((2, 1)), x),
        "AveragePool": (nn.AvgPool2d(3, 2, 1), x),
        "LSTM": (lstm, line),
    }
    for name, (module, value) in modules.items():
        with torch.inference_mode(), Recorder() as recorder:
            expected = module(value)
        [call] = [call for call in recorder.calls if operation_in_onnx(call, call.sizes)]
        found = operation_in_onnx(call, call.sizes)()[0]
        expected = expected[0] if isinstance(expected, tuple) else expected
        assert found.size == expected.numel(), name
    with torch.inference_mode(), Recorder() as recorder:
        torch.cat([x, x.relu()], 1)
    works = [operation_in_onnx(call, call.sizes) for call in recorder.calls]
    assert works[0] is None, "activation functions are fused"
    assert works[1]()[0].shape == (2, 8, 9, 9)


@needs_onnx
def test_a_latency_by_onnxruntime_is_cached_apart():
    model, structure, choices = of(Mixed, steps=8)
    survey = Survey(model, structure, TASK, batch(), choices, "onnxruntime", QUICK)
    found = survey.take()
    assert found.backend.startswith("onnxruntime") and found.cost.dense > 0
    assert not Survey(model, structure, TASK, batch(), choices, "onnxruntime").missing
    other = machine(CPU, found.backend)
    assert Times(other).path != Times(machine(CPU, "torch")).path


class Waves(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x).flatten(1)


@needs_onnx
def test_attention_is_traced_without_its_fast_path_which_stays_on(monkeypatch):
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(32, 2)).eval()
    words = (torch.randn(3, 4, 8), torch.zeros(3, dtype=torch.long))
    exports, export = [], torch.onnx.export
    monkeypatch.setattr(
        torch.onnx, "export", lambda *a, **k: (exports.append(k["dynamo"]), export(*a, **k))[1]
    )
    found = network_in_onnx(model, Classification(), words)()
    assert exports == [False] and torch.backends.mha.get_fastpath_enabled()
    with torch.no_grad():
        assert torch.allclose(torch.tensor(found[0]), model(words[0]), atol=1e-5)


@needs_onnx
def test_a_network_that_cannot_be_exported_prints_no_graph(capfd):
    images = (torch.randn(2, 1, 4, 4), torch.zeros(2, dtype=torch.long))
    with suppress(UsageError):
        network_in_onnx(Waves().eval(), Classification(), images)
    assert "graph(" not in capfd.readouterr().out
    with quiet(), suppress(Exception):  # torch alone does print it
        torch.onnx.export(Waves().eval(), images[:1], io.BytesIO(), dynamo=False)
    assert "graph(" in capfd.readouterr().out
