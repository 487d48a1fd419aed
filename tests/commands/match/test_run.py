"""Feature matching by itself: nearer to the dense network, resumed, labels unread, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import autoprune
from autoprune.cli.main import main
from autoprune.commands.match.config import MatchConfig
from autoprune.commands.match.result import Matched
from autoprune.commands.match.run import run_match
from autoprune.foundation import user_code as factories
from autoprune.foundation.progress import Silent
from autoprune.networks.weights import read_masks
from autoprune.training.pace import PaceConfig, paced
from tests import tiny
from tests.killing import Dies, Killed

EAGER = PaceConfig(save_every=0.0, save_share=1e9, report_every=0.0)
OWN = [text for name, value in tiny.WORDS.items() for text in (f"--{name}", value)]
TRUSTED = {"trust_code": True}
SHUFFLED = """

def shuffled():
    (images, labels), test = stripes()
    return (images, labels[torch.randperm(len(labels))]), test


def single():
    images, labels = make(1, 0)
    return (images, labels), make(20, 1)
"""


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Work where a search and a run by a rule, of masked weights, have ended."""
    place = tmp_path_factory.mktemp("match")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        tiny.write(place)
        with Path("tiny.py").open("a") as file:
            file.write(SHUFFLED)
        words = ["--budget", "0.3flops", "--finetune-epochs", "0", "--align", "1", *OWN]
        assert main(["prune", *words, "--ranking", "l1", "--run", "pruned"]) == 0
        masked = [*words[2:4], "--granularity", "weight", "--budget", "0.3params", *OWN]
        assert main(["prune", *masked, "--run", "masked"]) == 0
        yield place


@pytest.fixture(scope="module")
def whole(place):
    return run_match(
        MatchConfig(run="pruned", match="80steps", run_dir="whole", **TRUSTED), Silent()
    )


def dense_network():
    model = factories.load("tiny.py:build")[0]()
    model.load_state_dict(load_file("tiny.safetensors"))
    return model.eval()


def test_the_outputs_come_nearer_to_those_of_the_dense_network(whole):
    (_, _), (images, labels) = factories.load("tiny.py:stripes")[0]()
    before, after = (autoprune.load(run, **TRUSTED) for run in ("pruned", "whole"))
    with torch.no_grad():
        wanted = dense_network()(images)
        apart = [float((net(images) - wanted).square().mean()) for net in (before, after)]
        right = [
            float((net(images).argmax(1) == labels).float().mean())
            for net in (dense_network(), before, after)
        ]
    assert apart[1] < apart[0]
    assert [whole.dense, whole.before, whole.matched] == pytest.approx(right)
    assert whole.steps == 80 and whole.model is not None
    assert json.loads(Path("whole/result.json").read_text()) == whole.to_json()
    assert Matched.from_json(whole.to_json()) == whole


def test_a_killed_matching_goes_on_to_the_same_bytes(whole, place):
    config = MatchConfig(run="pruned", match="80steps", run_dir="killed", **TRUSTED)
    with paced(EAGER):
        with pytest.raises(Killed):
            run_match(config, Dies("match", 23))
        run_match(config, Silent())
    for name in ("model.safetensors", "model.json", "plan.json"):
        assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()
    again = run_match(config, Dies("match", 1))  # finished
    assert again.matched == whole.matched and again.model is not None


def test_labels_are_not_read(place):
    for name in ("stripes", "shuffled"):
        torch.manual_seed(1)
        config = MatchConfig(
            run="pruned",
            match="9steps",
            unlabeled=f"tiny.py:{name}",
            run_dir=f"by-{name}",
            **TRUSTED,
        )
        run_match(config, Silent())
    one, other = (Path(f"by-{name}/model.safetensors") for name in ("stripes", "shuffled"))
    assert one.read_bytes() == other.read_bytes()


def test_the_source_is_not_changed_and_what_was_matched_can_be_matched_further(whole, place):
    before = {path.name: path.read_bytes() for path in (place / "pruned").iterdir()}
    further = autoprune.match("whole", "5steps", run_dir="further", progress=False, **TRUSTED)
    assert further.before == whole.matched
    assert {path.name: path.read_bytes() for path in (place / "pruned").iterdir()} == before


def test_masked_weights_stay_masked(place):
    found = run_match(
        MatchConfig(run="masked", match="9steps", run_dir="of-masked", **TRUSTED), Silent()
    )
    masks = read_masks(Path("masked/masks.safetensors"))
    assert masks and any(not bool(mask.all()) for mask in masks.values())
    for name, mask in masks.items():
        assert not found.model.state_dict()[name][~mask.bool()].any()
    again = autoprune.load("of-masked", **TRUSTED).state_dict()
    assert all(torch.equal(again[name], v) for name, v in found.model.state_dict().items())


def test_a_run_of_a_live_object_takes_the_dense_one_again(place):
    found = autoprune.search(
        dense_network(),
        "tiny.py:stripes",
        agent="uniform",
        evaluations=1,
        finetune_epochs=0,
        align=1,
        run="live",
        progress=False,
    )
    matched = autoprune.match("live", "9steps", dense=dense_network(), progress=False, **TRUSTED)
    assert matched.before == found.finetuned.score
    with pytest.raises(autoprune.errors.UsageError, match="the dense network of live is not known"):
        autoprune.match("live", "9steps", progress=False, **TRUSTED)


def test_report_shows_it(whole, capsys):
    assert main(["report", "--run", "whole"]) == 0
    assert "matching of pruned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--match", "0"], "--match must be minutes above 0, or steps, not '0'"),
        (["--unlabeled", "nowhere"], "nowhere"),
        (["--unlabeled", "tiny.py:larger"], "[1, 9, 9], one of tiny.py:stripes [1, 8, 8]"),
        (["--unlabeled", "tiny.py:single"], "samples are too few"),
        (["--teacher", "other.safetensors"], "was not pruned from this dense one"),
        (["--model", "simplenet", "--teacher", "tiny.safetensors"], "tiny.safetensors"),
        (["--run", "nothing"], "nothing holds no pruned network"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, said, place, capsys):
    other = dense_network().state_dict()
    other["conv1.weight"] = other["conv1.weight"] + 1e-3
    save_file(other, "other.safetensors")
    given = ["--match", "2steps"] if "--match" not in words else []
    run = ["--run", "pruned"] if "--run" not in words else []
    assert main(["match", *run, *given, *words, "--run-dir", "never", "--trust-code"]) in (2, 4)
    last = capsys.readouterr().err.split("autoprune: error:")
    assert len(last) == 2 and said in " ".join(last[1].split())
