import json
import sys
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from autoprune.cli.main import main
from autoprune.commands.export import run as export
from autoprune.commands.export.config import ExportConfig
from autoprune.commands.export.run import TOLERANCE, export_file, run_export
from autoprune.commands.export.view import export_view
from autoprune.cost.latency.onnx import PACKAGES
from autoprune.errors import AutopruneError, DamagedError, UsageError
from autoprune.foundation.files import pretty, text_writer
from autoprune.foundation.progress import Silent
from autoprune.networks.save import SPEC, WEIGHTS, load, spec_json, state_tensors, write_tensors
from autoprune.networks.spec import ModelSpec
from autoprune.problem.prune import prune
from autoprune.ranking.rank import rank
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import CONFIG
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from tests.showing import show

BATCHES = [torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(n)) for n in (4, 1, 7)]
lacking = [name for name in PACKAGES if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(
    bool(lacking), reason=f"no package {', '.join(lacking)}: pip install 'autoprune[onnx]'"
)
FORMS = [pytest.param("onnx", marks=needs_onnx), "pt2", "safetensors"]


def make_run(path: Path, *, spec: bool = True, data: str = "digits") -> Path:
    """Publish what a search publishes of its network: half of every group of a fresh one."""
    named = ModelSpec("digits-resnet")
    torch.manual_seed(0)
    dense = named.build().eval()
    structure = analyze(dense, BATCHES[0])
    plan = Plan.uniform(structure, 0.5)
    ranking = rank(dense, structure, "l1")
    slicer = Slicer(dense, structure)
    kept = ranking.kept(plan)
    compact = prune(dense, structure, plan, ranking)
    path.mkdir()
    run = Artifacts(path)
    description = spec_json(named if spec else None, slicer.indices(kept), slicer.widths(kept))
    config = {"config": {"data": data, "task": "classification", "seed": 0}}
    run.publish(SPEC, text_writer(pretty(description)))
    run.publish(WEIGHTS, partial(write_tensors, tensors=state_tensors(compact)))
    run.publish(CONFIG, text_writer(pretty(config)))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


class Reader(nn.Module):
    """A convolution read column by column by a bidirectional LSTM, as in text recognition."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.lstm = nn.LSTM(48, 5, bidirectional=True, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        columns = self.conv(x).relu().flatten(1, 2).movedim(1, 2)
        return self.head(self.lstm(columns)[0])


class Liar(nn.Module):
    """Computes something else when exported."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        y = self.layer(x).sum((1, 2))
        return y + 0.01 * y.abs().max() if torch.compiler.is_exporting() else y


class FixedBatch(nn.Module):
    def forward(self, x):
        return x.reshape(4, -1)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_passes_its_check_on_real_inputs(run, tmp_path, form):
    config = ExportConfig(run=str(run), to=form, output=str(tmp_path / f"net.{form}"))
    exported = run_export(config, Silent())
    assert exported.path == config.path and exported.path.exists()
    assert exported.batches == (4, 1, 7)
    assert exported.scale > 0 and exported.difference <= TOLERANCE * exported.scale
    assert [item.name for item in tmp_path.iterdir()] == [config.path.name]
    files = [config.path] if config.path.is_file() else list(config.path.iterdir())
    assert exported.bytes == sum(item.stat().st_size for item in files)


@needs_onnx
def test_onnx_computes_what_the_pruned_network_computes_in_any_batch(run, tmp_path):
    from onnxruntime import InferenceSession

    path = tmp_path / "net.onnx"
    export_file(load(run), "onnx", path, BATCHES)
    session = InferenceSession(str(path))
    (entry,) = session.get_inputs()
    for inputs in (*BATCHES, torch.randn(33, 1, 8, 8)):
        (outputs,) = session.run(None, {entry.name: inputs.numpy()})
        expected = load(run)(inputs)
        torch.testing.assert_close(torch.from_numpy(outputs), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_pruned_reader_with_an_lstm_exports(tmp_path, form):
    torch.manual_seed(0)
    dense = Reader().eval()
    structure = analyze(dense, BATCHES[0])
    compact = prune(dense, structure, Plan.uniform(structure, 0.5))
    assert compact.lstm.hidden_size < dense.lstm.hidden_size
    exported = export_file(compact, form, tmp_path / f"reader.{form}", BATCHES)
    assert exported.difference <= TOLERANCE * exported.scale


def test_a_safetensors_directory_loads_alone_and_into_the_users_own_class(tmp_path):
    run = make_run(tmp_path / "run", spec=False)
    (tmp_path / "net.py").write_text(
        "from autoprune.networks.zoo import build\ndef net(): return build('digits-resnet')\n"
    )
    config = ExportConfig(run=str(run), to="safetensors", model=f"{tmp_path / 'net.py'}:net")
    path = run_export(config, Silent()).path
    copy = load(path, ModelSpec("digits-resnet").build())
    expected = load(run, ModelSpec("digits-resnet").build())
    assert torch.equal(copy(BATCHES[0]), expected(BATCHES[0]))
    with pytest.raises(UsageError, match="not empty"):
        run_export(config, Silent())
    assert torch.equal(load(path, ModelSpec("digits-resnet").build())(BATCHES[0]), copy(BATCHES[0]))


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_file_that_fails_its_check_is_not_left_and_the_one_before_stays(tmp_path, form):
    path = tmp_path / f"net.{form}"
    with pytest.raises(AutopruneError, match="differs from PyTorch"):
        export_file(Liar(), form, path, BATCHES)
    assert list(tmp_path.iterdir()) == []
    path.write_text("before")
    with pytest.raises(AutopruneError, match="differs from PyTorch"):
        export_file(Liar(), form, path, BATCHES)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_a_directory_that_fails_its_check_is_not_left(run, tmp_path):
    other = ModelSpec("digits-resnet").build().eval()
    with pytest.raises(AutopruneError, match="differs from PyTorch"):
        export.export_directory(run, tmp_path / "out", other, None, BATCHES)
    assert not (tmp_path / "out").exists()


def test_a_network_with_a_constant_batch_size_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be exported to pt2"):
        export_file(FixedBatch(), "pt2", tmp_path / "net.pt2", BATCHES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "error"), [("elsewhere.py:steal", DamagedError), ("MyData@0123abcd", UsageError)]
)
def test_data_that_only_the_run_names_is_not_executed(tmp_path, data, error):
    run = make_run(tmp_path / "run", data=data)
    with pytest.raises(error, match="--data"):
        run_export(ExportConfig(run=str(run), to="pt2"), Silent())
    assert not (run / "model.pt2").exists()


def test_missing_packages_are_named_with_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"onnx is not installed \(pip install 'autoprune\[onnx\]"):
        run_export(ExportConfig(run=str(run), to="onnx"), Silent())


def test_the_command_prints_one_object(run, tmp_path, capsys):
    path = tmp_path / "net.pt2"
    assert main(["export", "--run", str(run), "--to", "pt2", "--output", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    pixels = load_digits().images.astype("uint8") / 255
    assert facts["mean"] == pytest.approx([pixels.mean()]) and "class_names" not in facts
    assert facts["std"] == pytest.approx([pixels.std()])
    assert facts["path"] == str(path) and facts["max_difference"] <= facts["tolerance"] * 100
    assert main(["export", "--run", str(tmp_path), "--to", "pt2", "--json"]) == 2
    assert "holds no pruned network" in capsys.readouterr().out


def test_what_the_inputs_and_outputs_of_a_file_are_is_said(run, tmp_path):
    config = ExportConfig(run=str(run), to="pt2", output=str(tmp_path / "net.pt2"))
    exported = replace(run_export(config, Silent()), class_names=("zero", "one"))
    shown = " ".join(show(export_view(exported)).split())
    assert "(pixels / 255 - mean) / std, mean 0.0192, std 0.0236" in shown
    assert "outputs: zero, one" in shown
    assert exported.to_json()["class_names"] == ["zero", "one"]


def test_an_export_is_timed_beside_the_dense_network(run, tmp_path):
    config = ExportConfig(run=str(run), to="pt2", output=str(tmp_path / "net.pt2"))
    exported = run_export(config, Silent())
    torches = [speed for speed in exported.speeds if speed.backend == "torch"]
    assert [speed.batch for speed in torches] == [1, 64]
    assert all(0 < speed.low <= speed.fraction <= speed.high for speed in exported.speeds)
    assert exported.to_json()["speeds"][0]["dense_ms"] == exported.speeds[0].dense_ms
