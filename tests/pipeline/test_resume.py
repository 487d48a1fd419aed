import pytest

from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.racing import RacingConfig
from tests.killing import Dies, Killed
from tests.reports import timeless

SETTINGS = {
    "budget": "0.5flops",
    "agent": "random",
    "evaluations": 9,
    "finetune_epochs": 1,
    "baseline": False,
}
PRODUCTS = (
    "base.safetensors",
    "evaluations.jsonl",
    "plan.json",
    "masks.safetensors",
    "model.json",
    "model.safetensors",
)


def products(path):
    return {name: (path / name).read_bytes() for name in PRODUCTS}


def page(path):
    """The page of a run without times, and without its place."""
    return timeless((path / "report.html").read_text().replace(str(path), ""))


def test_a_search_killed_again_and_again_ends_byte_for_byte_like_one_that_was_not(tmp_path):
    racing = Tuning(racing=RacingConfig(least=64))  # plans race on few samples too
    whole = SearchConfig(run=str(tmp_path / "whole"), **SETTINGS)
    run_search(whole, Silent(), racing)
    assert b"doubt" in (tmp_path / "whole" / "evaluations.jsonl").read_bytes()
    killed = SearchConfig(run=str(tmp_path / "killed"), **SETTINGS)
    for phase, steps in (("train", 2), ("search", 3), ("search", 8), ("finetune", 1)):
        with pytest.raises(Killed):
            run_search(killed, Dies(phase, steps), racing)
    result = run_search(killed, Silent(), racing)
    assert products(tmp_path / "killed") == products(tmp_path / "whole")
    assert result.warnings == () and result.references.keys() == {"dense", "uniform"}
    assert page(tmp_path / "killed") == page(tmp_path / "whole")
    before = {path: path.read_bytes() for path in (tmp_path / "killed").iterdir()}
    again = run_search(killed, Dies("search", 1), racing)
    assert again == result
    assert {path: path.read_bytes() for path in (tmp_path / "killed").iterdir()} == before
