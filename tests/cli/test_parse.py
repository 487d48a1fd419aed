import json

import pytest

from autoprune import errors
from autoprune.cli.main import main


def test_help_shows_every_option_with_its_meaning(capsys):
    assert main(["search", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for option in ("budget", "model", "weights", "data", "task", "agent", "ranking"):
        assert f"--{option} " in text
    for phrase in (
        "Ceiling on cost",
        "(default: digits-resnet, for digits)",
        "(default: logs/<generated>)",
        "the same command again continues it",
    ):
        assert phrase in text


BAD = {
    "serch": "did you mean search?",
    "dance": "choose from search, apply",
    "search": "--budget",
    "search --budget": "missing value",
    "search --budget 0.5flops --evaluation 5": "did you mean --evaluations?",
    "search --budge 0.5flops": "--budge",
    "search 0.5flops --budget 0.5flops": "0.5flops",
    "search --budget 0.5flops --seed one": "--seed",
    "search --budget 0.5flops --seed 1 2": "2",
    "search --budget 0.5flops --align 0": "--align must be at least 1",
    "search --budget 0.5flops --evaluations -3": "--evaluations must be at least 1",
    "search --budget 0.5flops --data pictures/": "needs a --model",
    "inspect --budget 0.5flops": "--budget",
    "--nonsense": "search, apply",
}


@pytest.mark.parametrize(("line", "named"), BAD.items(), ids=BAD)
@pytest.mark.parametrize("columns", ["80", "20"])
def test_a_bad_line_gets_one_line_and_exit_code_2(line, named, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(line.split()) == errors.UsageError.exit_code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("autoprune: error: ")
    assert err.count("\n") == 1
    assert named.replace(" ", "") in err.replace(" ", "")


@pytest.mark.parametrize("line", BAD)
def test_with_json_an_error_is_one_object(line, capsys):
    assert main([*line.split(), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out.count("\n") == err.count("\n") == 1
    answer = json.loads(out)
    assert answer.keys() == {"error", "hint", "exit_code"}
    assert answer["exit_code"] == 2
    assert answer["error"] in err


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    "option", ["train --weight-decay", "train --learning-rate", "ticket --rate", "bench --rate"]
)
def test_options_that_are_no_numbers_are_named(option, value, capsys):
    assert main([*option.split()[:1], f"{option.split()[1]}={value}"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("autoprune: error: --") and option.split()[1] in line
