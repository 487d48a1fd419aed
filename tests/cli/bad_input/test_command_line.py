"""Words and numbers that mean nothing are refused before anything is loaded."""

import json
from pathlib import Path

import pytest

import autoprune
from autoprune.cli.main import main
from autoprune.errors import DamagedError
from tests.complaints import FAILED, USAGE, command, complaint, untouched

WORDS = {
    "budget=0.5foops": "unknown unit 'foops'",
    "budget=banana": "must start with a finite number",
    "budget=0flops": "above 0",
    "budget=-0.5flops": "above 0",
    "budget=nanflops": "finite number",
    "budget=1.5flops": "fraction over 1",
    "budget=1e400flops": "out of range",
    "budget=0.5": "a unit is missing",
    "budget=": "search needs --budget, --budgets or --max-drop",
    "agent=dqn": "unknown agent 'dqn' (choose from ddpg, ppo, uniform, random, greedy",
    "ranking=l3": "unknown ranking 'l3' (choose from regression, lasso, l1",
    "model=resnet21": "unknown network 'resnet21' (try resnet",
    "model=nets.py": "write nets.py:function",
    "model=nets.py:build()": "write nets.py:function, no brackets",
    "model=nets.py:biuld": "did you mean build",
    "model=nowhere.py:build": "no such file",
    "model=os:system": "not a python function",
    "model=builtins:exec": "not a python function",
    "model=nets.py:raises": "boom",
    "model=nets.py:number": "returns int, not an nn.Module",
    "model=nets.py:demanding": "missing 2 required positional arguments",
    "data=digit": "did you mean digits?",
    "data=./nowhere": "no such directory",
    "data=mydata.py": "write mydata.py:function",
    "data=mydata.py:loader": "did you mean loaders",
    "data=nowhere.py:loaders": "no such file",
    "task=classificaton": "classification, ctc, detection, causal-lm, masked-lm",
    "task=mytask.py": "write mytask.py:function",
    "task=mytask.py:Lacking": "it lacks loss, score",
    "task=mytask.py:three": "int is not a task",
    "task=mytask.py:raises": "KeyError",
    "weights=nowhere.safetensors": "no such file: nowhere.safetensors",
    "weights=.": ". is a directory",
    "device=nonsense": "no device 'nonsense': Expected one of cpu, cuda",
    "device=meta": "--device cpu",
}


@pytest.mark.parametrize("case", WORDS)
def test_words_that_mean_nothing(case, place, capsys):
    option, value = case.split("=")
    code = FAILED if value.endswith(":raises") else USAGE
    assert WORDS[case] in complaint(capsys, command(**{option: value}), code)
    assert untouched(place)


@pytest.mark.parametrize(
    ("option", "value"),
    [("evaluations", "0"), ("align", "0"), ("seed", "-1"), ("seed", "9" * 30), ("run", "")],
)
def test_numbers_out_of_range(option, value, place, capsys):
    assert main(command(**{option: value})) == USAGE
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"--{option}" in err
    assert untouched(place)


def test_a_network_without_trained_weights(place, capsys):
    assert "--weights FILE" in complaint(capsys, command(weights=None), USAGE)
    assert untouched(place)


def test_what_the_users_code_prints_is_no_result(place, capsys):
    assert main(command("--json", model="nets.py:chatty", finetune_epochs="0")) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out)["evaluations"] == 4
    assert "building a network" in err


def test_who_has_no_home_can_work_all_the_same(place, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr(Path, "home", homeless)
    assert main(command(evaluations="1", finetune_epochs="0")) == 0
    with pytest.raises(DamagedError, match="was never named here"):
        autoprune.load("run")
    assert main(["doctor"]) == 0
