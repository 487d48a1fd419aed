"""Searches at every granularity, from files: what is stored is masked, exact, and loads."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import autoprune
from autoprune.cli.main import main
from autoprune.foundation import user_code as factories
from autoprune.networks.weights import read_masks
from tests import owncode
from tests.pipeline.test_search import accuracy, own

FILES = {"model": "nets.py:build", "weights": "trained.pt", "data": "mydata.py:loaders"}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Work in a directory with a user's files and the network's weights."""
    place = tmp_path_factory.mktemp("masked")
    owncode.write(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        torch.manual_seed(0)
        net = factories.load("nets.py:build")[0]()
        torch.save({"model": net.state_dict()}, "trained.pt")
        yield place


DATA = ["--data", FILES["data"]]


def search(capsys, run, granularity, budget, **changes):
    options = FILES | {"agent": "random", "evaluations": 4, "finetune-epochs": 2} | changes
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    words = ["--granularity", granularity, "--budget", budget, "--run", run]
    assert main(["search", "--json", *words, *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("granularity", "budget", "agent"),
    [("weight", "0.3params", "random"), ("2:4", "0.7flops", "ddpg"), ("1:4", "0.6bytes", "dp")],
)
def test_what_a_masked_search_stores(granularity, budget, agent, place, capsys):
    run = f"{agent}-{granularity.replace(':', '-')}"
    result = search(capsys, run, granularity, budget, agent=agent)
    assert result["granularity"] == granularity
    assert result["ranking"] == "l2"
    masks = read_masks(Path(f"{run}/masks.safetensors"))
    assert masks.keys() == {"conv1.weight", "conv2.weight", "head.weight"}
    model = autoprune.load(run)
    tensors = dict(model.named_parameters())
    for name, mask in masks.items():
        # Exactly zero after fine-tuning, and trained where it stays.
        assert not bool(tensors[name][~mask].any())
        assert bool(tensors[name][mask].all())
        group = next(g for g in result["groups"] if f"{g['name']}.weight" == name)
        assert (group["size"], group["kept"]) == (mask.numel(), int(mask.sum()))
    whole = sum(p.numel() for n, p in tensors.items() if n not in masks)
    left = whole + sum(int(mask.sum()) for mask in masks.values())
    assert result["recovered"]["parameters"] == left
    assert result["recovered"]["accuracy"] == pytest.approx(accuracy(model))
    stored = load_file(f"{run}/model.safetensors")
    assert result["recovered"]["bytes"] == sum(
        v.numel() * v.element_size() for v in stored.values()
    )
    plan = json.loads((place / run / "plan.json").read_text())
    assert plan["granularity"] == granularity
    assert plan["keep"] == result["plan"]
    measure = {"flops": "macs", "params": "parameters", "bytes": "bytes"}[budget[3:]]
    assert result["recovered"][measure] <= float(budget[:3]) * result["base"][measure]
    assert any("zeros" in text for text in result["warnings"])
    # The same command shows it again, and another program reads it.
    assert search(capsys, run, granularity, budget, agent=agent) == result
    assert main(["export", "--run", run, "--to", "safetensors", "--json", *DATA]) == 0
    assert json.loads(capsys.readouterr().out)["max_difference"] == 0
    copy = autoprune.load(f"{run}/safetensors", model=own("nets", "build"))
    assert all(torch.equal(v, tensors[n]) for n, v in copy.named_parameters())


@pytest.mark.parametrize("agent", ["ppo", "greedy", "evolution"])
def test_every_other_searcher_works_on_masks(agent, capsys):
    result = search(capsys, agent, "weight", "0.4params", agent=agent, **{"finetune-epochs": 0})
    assert result["evaluations"] == 4
    assert result["pruned"]["parameters"] <= 0.4 * result["base"]["parameters"]


def test_a_masked_search_goes_on_to_the_same_bytes(place, capsys):
    search(capsys, "whole", "2:4", "0.7flops")
    search(capsys, "again", "2:4", "0.7flops")
    for name in ("model.safetensors", "masks.safetensors", "evaluations.jsonl"):
        assert (place / "whole" / name).read_bytes() == (place / "again" / name).read_bytes()
    assert search(capsys, "other", "2:4", "0.7flops", seed=1)["seed"] == 1


def test_a_masked_network_is_trained_further_and_stays_masked(place, capsys):
    search(capsys, "first", "2:4", "0.7flops", agent="uniform")
    before = dict(autoprune.load("first").named_parameters())
    words = ["--run", "first", "--epochs", "1", "--run-dir", "second", "--json", *DATA]
    assert main(["finetune", *words]) == 0
    after = dict(autoprune.load("second").named_parameters())
    masks = read_masks(Path("second/masks.safetensors"))
    for name, value in after.items():
        assert not torch.equal(value, before[name])
        assert name not in masks or not bool(value[~masks[name]].any())


@pytest.mark.parametrize("command", ["search", "prune"])
def test_a_ticket_from_masked_weights(command, place, capsys):
    arguments = [text for name, value in FILES.items() for text in (f"--{name}", value)]
    words = "--granularity weight --budget 0.4params --finetune-epochs 0 --json".split()
    agent = ["--agent", "uniform"] if command == "search" else []
    assert main([command, *words, *agent, *arguments, "--run", f"of-{command}"]) == 0
    left = json.loads(capsys.readouterr().out)["pruned"]["parameters"]
    words = "--initial trained.pt --iterations 4 --seeds 1 --json".split()
    assert main(["ticket", "--run", f"of-{command}", *words]) == 0
    (level,) = json.loads(capsys.readouterr().out)["levels"]
    whole = sum(p.numel() for p in own("nets", "build").parameters())
    assert level["remaining"] == pytest.approx(left / whole, abs=0.05)


def complaint(capsys, *words, code):
    arguments = [text for name, value in FILES.items() for text in (f"--{name}", value)]
    assert main(["search", *words, *arguments, "--run", "bad"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = [line for line in err.splitlines() if line.startswith("autoprune: error")]
    return line


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--granularity 0:4 --budget 0.5flops", 2, "keeps nothing"),
        ("--granularity 4:2 --budget 0.5flops", 2, "is no pattern"),
        ("--granularity filters --budget 0.5flops", 2, "unknown granularity 'filters'"),
        ("--granularity 2:4 --budget 0.2flops", 3, "cannot go below"),
        ("--granularity weight --budget 0.001params", 3, "cannot go below"),
        ("--granularity 2:4 --budget 0.7flops --align 8", 2, "--align 8 counts channels"),
        ("--granularity weight --budget 0.5params --ranking lasso", 2, "orders no single weights"),
        ("--granularity 1:200 --budget 0.5params", 2, "shorter than 1:200"),
        ("--granularity weight --budget 0.5latency", 2, "take as long as before"),
        ("--granularity 2:4 --budget 5ms", 2, "take as long as before"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, code, said, place, capsys):
    assert said in complaint(capsys, *words.split(), code=code)
    assert not (place / "bad").exists()
