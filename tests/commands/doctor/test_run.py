import io
import json
import sys

import pytest
from rich.console import Console

from autoprune.cli.main import main
from autoprune.commands.doctor.config import DoctorConfig
from autoprune.commands.doctor.run import run_doctor
from autoprune.commands.doctor.view import doctor_view
from autoprune.foundation.progress import Silent


def found(capsys, code=0):
    assert main(["doctor", "--json"]) == code
    facts = json.loads(capsys.readouterr().out)
    assert facts["ok"] == (code == 0)
    return {check["name"]: check for check in facts["checks"]}


def test_a_sound_installation_is_said_to_be_one(capsys):
    checks = found(capsys)
    assert "ultralytics" not in checks  # an extra of tests is nobody's need
    for name in ("torch", "stable-baselines3", "scikit-learn", "datasets", "onnx", "cpu", "runs"):
        assert checks[name]["status"] == "ok", checks[name]
    assert "repeats bit for bit" in checks["cpu"]["found"]
    for check in checks.values():
        assert bool(check["advice"]) == (check["status"] != "ok")


def test_a_broken_extra_is_no_obstacle_and_what_to_do_is_said(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check = found(capsys)["onnxruntime"]
    assert check["status"] == "absent"
    assert "cannot be imported" in check["found"]
    assert check["advice"] == "pip install --force-reinstall onnxruntime"


def test_a_broken_need_is_an_obstacle(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    assert found(capsys, code=1)["gymnasium"]["status"] == "broken"


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left_behind(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    check = found(capsys)["cache"]
    assert (check["status"], check["advice"][:18]) == ("absent", "set XDG_CACHE_HOME")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("width", [60, 80])
def test_it_fits_a_screen(width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(doctor_view(run_doctor(DoctorConfig(), Silent()), "0.1.0"))
    lines = console.export_text().splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= width
