"""Code that only a run names is not run without consent."""

import json
import shutil
from pathlib import Path

import pytest

import autoprune
from autoprune.cli.main import main
from autoprune.errors import DamagedError
from autoprune.foundation import files
from autoprune.foundation.files import text_writer
from autoprune.runs.artifacts import Artifacts
from tests import owncode
from tests.complaints import DAMAGED, EVIL, USAGE, command, complaint
from tests.quick_policy import quicken


def test_code_that_changed_since_is_not_run_without_consent(place):
    assert main(command(finetune_epochs="0")) == 0
    autoprune.load("run")
    text = "from pathlib import Path\nPath('executed').touch()\n" + owncode.NETS
    (place / "nets.py").write_text(text)
    with pytest.raises(DamagedError, match="trust_code"):
        autoprune.load("run")
    assert not Path("executed").exists()


@pytest.mark.parametrize("part", ["data", "task", "model"])
def test_a_ticket_of_a_strangers_search_runs_no_code_of_theirs(part, run, place, capsys):
    (place / "evil.py").write_text(EVIL)
    name = "model.json" if part == "model" else "config.json"
    described = json.loads((run / name).read_text())
    if part == "model":
        described["model"] |= {"factory": f"{place / 'evil.py'}:f"}
    else:
        described["config"] |= {part: "evil.py:f"}
    Artifacts(run).publish(name, text_writer(json.dumps(described)))
    line = complaint(capsys, ["ticket", "--run", "run", "--levels", "1"], DAMAGED)
    assert "was never named here, so it is not run" in line
    assert not (place / "executed").exists()


THEIRS = """
from pathlib import Path

Path("executed").touch()
"""


OF_A_RUN = {
    "export": "export --run run --to safetensors --output out",
    "finetune": "finetune --run run --epochs 1 --run-dir further",
    "ticket": "ticket --run run --initial build.safetensors --seeds 1 --iterations 2 --run-dir t",
    "train-policy": "train-policy --models trained --evaluations 0 --run policy",
}


@pytest.mark.parametrize("name", OF_A_RUN)
def test_code_that_a_run_names_runs_with_trust_code_only_and_counts_as_named_then(
    name, run, place, capsys, monkeypatch
):
    quicken(monkeypatch)
    arguments = OF_A_RUN[name].split()
    text = THEIRS + owncode.NETS + owncode.DATA
    (place / "theirs.py").write_text(text)
    if name == "train-policy":
        own = "--model nets.py:build --weights build.safetensors --data mydata.py:loaders"
        assert main(f"train {own} --epochs 1 --run trained".split()) == 0
        capsys.readouterr()
        run = place / "trained"
    theirs = {"model": "theirs.py:build", "data": "theirs.py:loaders"}
    described = json.loads((run / "config.json").read_text())
    described["config"] |= theirs
    Artifacts(run).publish("config.json", text_writer(json.dumps(described)))
    described = json.loads((run / "model.json").read_text())
    where = {"path": str(place / "theirs.py"), "sha256": files.digest(text)}
    described["model"] |= {"factory": f"{place / 'theirs.py'}:build", **where}
    Artifacts(run).publish("model.json", text_writer(json.dumps(described)))
    assert "pass --trust-code" in complaint(capsys, arguments, DAMAGED)
    assert not (place / "executed").exists()
    assert main([*arguments, "--trust-code"]) == 0
    assert (place / "executed").exists()
    shutil.rmtree(place / "out", ignore_errors=True)
    assert main(arguments) == 0


def test_the_table_of_networks_runs_no_code_that_a_run_names(place, capsys):
    own = "--model nets.py:build --weights build.safetensors"
    assert main(f"train {own} --data mydata.py:loaders --epochs 1 --run trained".split()) == 0
    capsys.readouterr()
    described = json.loads((place / "trained" / "config.json").read_text())
    (place / "evil.py").write_text(EVIL)
    described["config"] |= {"model": "evil.py:f"}
    Artifacts(place / "trained").publish("config.json", text_writer(json.dumps(described)))
    line = complaint(capsys, "bench --trained trained --output table".split(), USAGE)
    assert "evil.py:f" in line
    assert not (place / "executed").exists()
