"""Choice of a backend."""

import sys

import pytest

from autoprune.cost.latency import Survey
from autoprune.errors import UsageError
from tests.timed_net import TASK, Mixed, batch, of


def test_a_backend_that_does_not_exist_or_run_is_named(monkeypatch):
    model, structure, choices = of(Mixed, steps=8)
    with pytest.raises(UsageError, match=r"unknown backend 'tensorrt' \(choose from torch"):
        Survey(model, structure, TASK, batch(), choices, "tensorrt")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match="onnx is not installed"):
        Survey(model, structure, TASK, batch(), choices, "onnxruntime")
