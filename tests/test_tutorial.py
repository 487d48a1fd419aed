"""The tutorial does what it says: its commands run, and its figures are those of its own run."""

import contextlib
import io
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

from autoprune.cli.main import main

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "tutorial.md").read_text()
FILES = dict(re.findall(r'^```python title="(\S+)"\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE))
SLACK = 3.0
"""Points by which the scores of another machine may differ from those on the page."""


def commands():
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("autoprune "):
                yield shlex.split(line)[1:]


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The place where the tutorial was followed from its first command to its last."""
    place = tmp_path_factory.mktemp("tutorial")
    (place / "mynet.py").write_text(FILES["mynet.py"])
    with contextlib.chdir(place):
        for words in commands():
            with contextlib.redirect_stdout(io.StringIO()) as shown:
                assert main(words) == 0, words
            (place / f"{words[0]}.txt").write_text(shown.getvalue())
    return place


def test_every_command_of_the_tutorial_runs_and_leaves_what_it_says(walked):
    assert {words[0] for words in commands()} == {"train", "inspect", "search", "export"}
    for name in ("runs/dense/report.html", "runs/pruned/report.html", "runs/pruned/model.onnx"):
        assert name in PAGE and (walked / name).is_file()
    groups = re.findall(r"^ (stem|blocks\S+) +conv", (walked / "inspect.txt").read_text(), re.M)
    assert len(groups) == 5 and "model output" in (walked / "inspect.txt").read_text()


def test_the_figures_of_the_tutorial_are_those_of_its_run(walked):
    result = json.loads((walked / "runs" / "pruned" / "result.json").read_text())
    rows = dict(re.findall(r"^\| (ours|`uniform \+ l1`) \| (.*) \|$", PAGE, re.MULTILINE))
    ours, uniform = (
        [float(cell.strip(" %")) for cell in row.split("|")]
        for row in (rows["ours"], rows["`uniform + l1`"])
    )
    for written, name in zip(ours, ("base", "pruned", "recovered"), strict=True):
        assert written == pytest.approx(100 * result[name]["accuracy"], abs=SLACK)
    assert uniform[1] < 80 and result["baseline"]["pruned"]["accuracy"] < 0.8
    macs, parameters = re.search(r"keeps ([\d.]+) % of its MACs and ([\d.]+) %", PAGE).groups()
    left = result["recovered"]["macs"] / result["base"]["macs"]
    assert float(macs) == pytest.approx(100 * left, abs=2.0) and left <= 0.3
    left = result["recovered"]["parameters"] / result["base"]["parameters"]
    assert float(parameters) == pytest.approx(100 * left, abs=5.0)


def test_the_exported_network_is_used_without_pytorch(walked, capsys):
    pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install 'autoprune[onnx]'")
    (walked / "use.py").write_text(FILES["use.py"])
    assert "torch" not in FILES["use.py"]
    with contextlib.chdir(walked):
        runpy.run_path("use.py")
    result = json.loads((walked / "runs" / "pruned" / "result.json").read_text())
    (accuracy,) = re.findall(r"accuracy ([\d.]+) %", capsys.readouterr().out)
    assert float(accuracy) == pytest.approx(100 * result["recovered"]["accuracy"], abs=0.5)
