import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autoprune.cost.budget import allowed_counts
from autoprune.cost.latency import LatencyModel, Survey, TableCost, measure_latency, width_steps
from autoprune.cost.latency.cache import Times, machine
from autoprune.cost.latency.calls import Recorder
from autoprune.cost.latency.clock import TimingConfig
from autoprune.cost.latency.model import first_units
from autoprune.cost.latency.onnx import PACKAGES, operation_in_onnx
from autoprune.cost.latency.sizes import sized_calls
from autoprune.cost.latency.table import Axis, Table, monotone
from autoprune.cost.polynomial import CostModel
from autoprune.data.task import Classification
from autoprune.errors import DamagedError, UsageError
from autoprune.networks.execution import Form
from autoprune.networks.zoo import build
from autoprune.structure.analyze import analyze
from autoprune.structure.slicing import Slicer
from tests.synthetic import staircase, structures

TASK = Classification()
CPU = torch.device("cpu")


class Mixed(nn.Module):
    """Convolutions with one another's channels joined, a depthwise one, a linear layer."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(1, 8, 1)
        self.deep = nn.Conv2d(20, 20, 3, groups=20)
        self.norm, self.out = nn.BatchNorm2d(20), nn.Linear(20 * 36, 5)

    def forward(self, x):
        both = torch.cat([torch.relu(self.one(x)), self.two(x)], 1)
        return self.out(self.norm(self.deep(both)).flatten(1))


def batch(samples=4):
    torch.manual_seed(0)
    return torch.randn(samples, 1, 8, 8), torch.zeros(samples, dtype=torch.long)


QUICK = TimingConfig(fewest=9, most=200, seconds=0.1)


def of(make, steps=4):
    torch.manual_seed(0)
    model = make().eval()
    structure = analyze(model, batch()[0])
    return (
        model,
        structure,
        allowed_counts(structure.sizes.values(), [steps] * len(structure.sizes)),
    )


@pytest.mark.parametrize("make", [Mixed, lambda: build("digits-resnet")], ids=["mixed", "resnet"])
def test_sizes_of_every_operation_are_those_of_the_compact_network(make):
    model, structure, choices = of(make)
    calls = sized_calls(model, structure, TASK, batch(), Form(), (), choices)
    counts = np.array([options[len(options) // 2] for options in choices])
    compact = Slicer(model, structure)(first_units(structure, counts))
    with torch.inference_mode(), Recorder() as recorder:
        compact(batch()[0])
    assert [call.call.name for call in calls] == [call.name for call in recorder.calls]
    assert [call.at(counts) for call in calls] == [call.sizes for call in recorder.calls]
    assert any("conv2d" in call.call.name for call in calls)


def test_a_latency_is_positive_grows_and_survives_json():
    model, structure, choices = of(Mixed)
    found = measure_latency(model, structure, TASK, batch(), choices, turns=QUICK)
    assert LatencyModel.from_json(json.loads(json.dumps(found.to_json()))).to_json() == (
        found.to_json()
    )
    cost = CostModel(structure, latency=found.cost)
    least, most = ([options[place] for options in choices] for place in (0, -1))
    assert 0 < found.cost.at(np.array(least)) <= found.cost.at(np.array(most)) == found.cost.dense
    assert cost.latency is found.cost and found.batch == 4
    assert 0 <= found.corrected < 1 and len(found.fit) >= 2
    with pytest.raises(DamagedError):
        LatencyModel.from_json({**found.to_json(), "format": 0})


def test_what_is_known_of_a_machine_is_not_measured_again():
    model, structure, choices = of(Mixed)
    first = Survey(model, structure, TASK, batch(3), choices, turns=QUICK)
    taken = []
    first.take(lambda: taken.append(1))
    assert len(taken) == len(first.missing) > 10
    assert not Survey(model, structure, TASK, batch(3), choices).missing
    assert Survey(model, structure, TASK, batch(5), choices).missing


def cache_of(on):
    times = Times(on)
    times.add("some operation", 12.5)
    times.save()
    return times.path


def test_a_cache_of_another_machine_is_ignored_and_said_so():
    on = machine(CPU, "torch")
    path = cache_of({**on, "device": "cpu: another"})
    path.rename(Times(on).path)
    times = Times(on)
    assert times.get("some operation") is None
    assert len(times.notes) == 1 and "another machine" in times.notes[0]
    times.add("some operation", 3.0)
    times.save()
    assert Times(on).get("some operation") == 3.0 and len(times.notes) == 1
    Times(on).path.unlink()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": 1}',
        '{"format": 1, "on": {}, "times": {"a": "x"}}',
        '{"format": 1, "on": {}, "times": {"a": -1}}',
        '{"format": 1, "on": {}, "times": {"a": NaN}}',
        '{"format": 2, "on": {}, "times": {}}',
    ],
)
def test_a_damaged_cache_is_named_once_and_replaced(content):
    on = {"device": f"cpu: {content}"}
    path = cache_of(on)
    Path(path).write_text(content)
    times = Times(on)
    assert times.get("some operation") is None
    times.add("b", 2.0)
    times.save()
    assert [("damaged" in note, str(path) in note) for note in times.notes] == [(True, True)]
    assert Times(on).get("b") == 2.0 and not Times(on).notes


def test_a_cache_that_cannot_be_written_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    times = Times({"device": "cpu"})
    times.add("a", 1.0)
    times.save()
    assert times.get("a") == 1.0


@given(st.integers(0, 999), st.integers(1, 6), st.integers(1, 6))
def test_the_nearest_monotone_table_is_off_by_half_of_the_deepest_fall(seed, rows, columns):
    values = np.random.default_rng(seed).uniform(1, 2, (rows, columns))
    found = monotone(values)
    assert (np.diff(found, axis=0) >= 0).all() and (np.diff(found, axis=1) >= 0).all()
    deepest = max(
        values[i, j] - values[k, m]
        for i in range(rows)
        for j in range(columns)
        for k in range(i, rows)
        for m in range(j, columns)
    )
    assert abs(np.abs(found - values).max() - deepest / 2) < 1e-12
    grown = np.sort(np.sort(values, axis=0), axis=1)
    assert np.allclose(monotone(grown), grown)


@given(structures, st.integers(0, 99), st.data())
def test_a_table_never_falls_and_its_vector_forms_agree(structure, seed, data):
    cost = staircase(structure, seed)
    counts = np.array([data.draw(st.integers(1, group.size)) for group in structure.groups])
    group = data.draw(st.integers(0, len(counts) - 1))
    candidates = np.arange(0, structure.groups[group].size + 1)
    plans = np.tile(counts, (len(candidates), 1))
    plans[:, group] = candidates
    along = cost.along(counts, group, candidates)
    assert (np.diff(along) >= 0).all()
    assert along.tolist() == cost.many(plans).tolist() == [cost.at(row) for row in plans]
    assert TableCost.from_json(cost.to_json()).many(plans).tolist() == along.tolist()


def test_between_knots_a_table_is_linear_and_on_them_exact():
    one = Axis(2, (1, 0), (4, 8)), Axis(0, (0, 3), (6, 12))
    cost = TableCost.of(["a", "b"], np.array([6, 4]), [Table(one, np.array([[10, 30], [50, 90]]))])
    at = {(2, 2): 10, (6, 2): 50, (2, 4): 30, (6, 4): 90, (4, 3): (10 + 50 + 30 + 90) / 4}
    for counts, expected in at.items():
        assert cost.at(np.array(counts)) == expected


def test_equal_tables_are_added_up_and_read_as_whole_networks_say():
    axes = Axis(0, (1,), (2, 4)), Axis(1, (0,), (1,))
    table = Table(axes, np.array([[10.0], [30.0]]))
    cost = TableCost.of(["a"], np.array([5]), [table, table])
    assert len(cost.fixed) == 1
    assert [cost.at(np.array([k])) for k in (1, 2, 3, 4)] == [10, 20, 40, 60]
    whole = cost.calibrated(np.array([[2], [4]]), np.array([50.0, 150.0]))
    assert [whole.at(np.array([k])) for k in (1, 2, 3, 4)] == [25, 50, 100, 150]
    noisy = cost.calibrated(np.array([[2], [4]]), np.array([150.0, 50.0]))
    assert [noisy.at(np.array([k])) for k in (2, 3, 4)] == [100, 100, 100]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("values", [[[0, 5, 4], [0, 0, 0], [0, 0, 0]]]),
        ("times", [[[-1], [0]]]),
        ("knots", [[[0, 4, 4], [0, 1, 2]]]),
        ("sizes", [1, 2]),
        ("sums", [0]),
        ("totals", [1, 2]),
        ("totals", "x"),
        ("fixed", None),
    ],
)
def test_tables_that_make_no_sense_are_refused(key, value):
    axes = Axis(0, (1,), (2, 4)), Axis(1, (0,), (1,))
    cost = TableCost.of(["a"], np.array([4]), [Table(axes, np.array([[10.0], [30.0]]))])
    assert TableCost.from_json(cost.to_json()).dense == 30
    with pytest.raises(DamagedError):
        TableCost.from_json({**cost.to_json(), key: value})


def test_widths_are_aligned_to_the_device_but_small_groups_keep_four(monkeypatch):
    capability = "torch.backends.cpu.get_cpu_capability"
    monkeypatch.setattr(capability, lambda: "AVX512")
    assert width_steps([512, 64, 32, 16, 12, 3], CPU) == (16, 16, 8, 4, 2, 1)
    monkeypatch.setattr(capability, lambda: "AVX2")
    assert width_steps([512, 32, 16], CPU) == (8, 8, 4)
    assert width_steps([512], torch.device("cuda")) == (8,)


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


def test_a_backend_that_does_not_exist_or_run_is_named(monkeypatch):
    model, structure, choices = of(Mixed, steps=8)
    with pytest.raises(UsageError, match=r"unknown backend 'tensorrt' \(choose from torch"):
        Survey(model, structure, TASK, batch(), choices, "tensorrt")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match="onnx is not installed"):
        Survey(model, structure, TASK, batch(), choices, "onnxruntime")
