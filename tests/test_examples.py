"""The examples do what they say."""

import json
import logging
import math
import runpy
import sys
import tomllib
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

import autoprune
from autoprune.commands.doctor.config import DoctorConfig
from autoprune.commands.doctor.run import run_doctor
from autoprune.foundation.progress import Silent
from autoprune.testing import check_searcher
from tests.plugged import install
from tests.real.stubs import declare

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PACKAGES = ("own_searcher", "optuna_searcher")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A directory to run in, with the examples beside their helper."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return tmp_path


@pytest.fixture
def packaged(place, monkeypatch):
    """Let the entry points of a package be seen, as `pip install` does."""

    def see(folder):
        project = tomllib.loads((EXAMPLES / folder / "pyproject.toml").read_text())["project"]
        (module,) = (EXAMPLES / folder).glob("*.py")
        kinds = {
            group.removeprefix("autoprune."): {
                name: it.partition(":")[2] for name, it in own.items()
            }
            for group, own in project["entry-points"].items()
        }
        install(place, project["name"], module.read_text(), **kinds)
        monkeypatch.delitem(sys.modules, module.stem, raising=False)
        monkeypatch.syspath_prepend(str(place))
        assert project["name"] in {one.name for one in distributions()}
        return [name for own in kinds.values() for name in own]

    return see


def run(name, function="main"):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))[function]


def met(result):
    return result.finetuned.macs <= 0.5 * result.dense.macs and result.finetuned.score > 0.8


def test_a_search_with_callbacks_prints_and_stops_early(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("autoprune"), "level", logging.NOTSET)
    result = run("callbacks")()
    printed = capsys.readouterr().out
    assert met(result) and result.evaluations < 40
    assert f"{result.evaluations}/40: loss" in printed and "finetune 2/2: loss" in printed
    assert any("5 evaluations brought nothing" in one for one in result.warnings)


@pytest.mark.parametrize("name", ["own_reward", "own_training"])
def test_a_search_by_objects_of_ones_own(name):
    assert met(run(name)())


def test_the_environment_is_walked_by_ppo_and_by_hand():
    found = run("environment")()
    assert found.keys() == {"ppo", "by hand"}
    assert all(0 < one.loss < math.inf for one in found.values())


def test_a_stopped_search_goes_on(place):
    result, computed = run("resume")(place / "run")
    assert met(result) and computed == list(range(11, result.evaluations + 1)) != []


def test_a_searcher_of_another_package_is_found_by_name(packaged):
    assert packaged("own_searcher") == ["hill-climbing"]
    problem = autoprune.pose(run("digits", "trained")(), run("digits", "data")(), progress=False)
    ledger = problem.search("hill-climbing", 6, progress=False)
    assert ledger.count == 6 and ledger.history[0].plan == problem.budget.uniform()
    found = run_doctor(DoctorConfig(), Silent()).checks
    assert any(one.name == "searcher hill-climbing" and one.status == "ok" for one in found)


@pytest.mark.skipif(find_spec("optuna") is None, reason="pip install 'autoprune[optuna]'")
def test_a_problem_is_posed_and_searched_by_optuna(packaged):
    packaged("optuna_searcher")
    ledger, accuracy = run("posed_for_optuna")()
    assert ledger.count == 12 and accuracy > 0.5


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_detector_is_pruned_and_runs_in_onnx(place):
    declare()
    for library in ("ultralytics", "onnxscript", "onnxruntime"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    left, apart = run("yolo")(place)
    assert left < 0.4 and apart < 1e-4
    assert (place / "yolo.onnx").stat().st_size < 5e6


@pytest.mark.parametrize("folder", PACKAGES)
def test_searchers_of_the_examples_conform(packaged, folder):
    if folder == "optuna_searcher":
        pytest.importorskip("optuna", reason="pip install 'autoprune[optuna]'")
    from importlib.metadata import entry_points

    (name,) = packaged(folder)
    (entry,) = entry_points(group="autoprune.searchers", name=name)
    check_searcher(entry.load())


@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_other_trainers_are_as_good_as_ours():
    declare()  # both import torchvision where it is
    for package in ("transformers", "accelerate", "pytorch_lightning"):
        pytest.importorskip(package, reason=f"no {package}: pip install 'autoprune[trainers]'")
    names = runpy.run_path(str(EXAMPLES / "other_trainers.py"))
    ways = [names[way] for way in ("ours", "by_transformers", "by_lightning")]
    ours, *theirs = map(names["interval"], names["scores_of"](*ways).values())
    assert ours[0] > 0.8
    for low, high in theirs:
        assert low <= ours[1] and ours[0] <= high


@pytest.mark.parametrize("name", ["search_and_pictures", "by_hand", "text_model"])
def test_a_notebook_runs_from_its_first_cell_to_its_last(name, place, monkeypatch):
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text())
    names: dict[str, object] = {"__name__": "__main__"}
    monkeypatch.delitem(sys.modules, "digits", raising=False)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, "stored as it is made"
            exec("".join(cell["source"]), names)  # as a kernel does
    if "result" in names:
        result = names["result"]
        assert result.finetuned.macs <= 0.5 * result.dense.macs
        assert result.finetuned.score > result.dense.score - 0.05 > 0.7
        assert (result.run / "report.html").is_file()


def test_every_example_is_listed():
    listed = (EXAMPLES / "README.md").read_text()
    made = [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")]
    scripts = [path.name for path in made if path.name != "digits.py"]
    assert all(f"({name})" in listed for name in scripts)
