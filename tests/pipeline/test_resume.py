import pytest

from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search

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


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class Dies(Silent):
    """Ends the process in a phase, after so many steps."""

    def __init__(self, phase, steps):
        self._deadly, self._left, self._name = phase, steps, ""

    def phase(self, name, total):
        self._name = name
        return super().phase(name, total)

    def advance(self, steps=1, **facts):
        if self._name == self._deadly:
            self._left -= steps
            if self._left <= 0:
                raise Killed


def products(path):
    return {name: (path / name).read_bytes() for name in PRODUCTS}


def test_a_search_killed_again_and_again_ends_byte_for_byte_like_one_that_was_not(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "autoprune.problem.racing.LEAST", 64
    )  # so that plans race on few samples too
    whole = SearchConfig(run=str(tmp_path / "whole"), **SETTINGS)
    run_search(whole, Silent())
    assert b"doubt" in (tmp_path / "whole" / "evaluations.jsonl").read_bytes()
    killed = SearchConfig(run=str(tmp_path / "killed"), **SETTINGS)
    for phase, steps in (("train", 2), ("search", 3), ("search", 8), ("finetune", 1)):
        with pytest.raises(Killed):
            run_search(killed, Dies(phase, steps))
    result = run_search(killed, Silent())
    assert products(tmp_path / "killed") == products(tmp_path / "whole")
    assert result.warnings == ()
    before = {path: path.read_bytes() for path in (tmp_path / "killed").iterdir()}
    again = run_search(killed, Dies("search", 1))
    assert again == result
    assert {path: path.read_bytes() for path in (tmp_path / "killed").iterdir()} == before
