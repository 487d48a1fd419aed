"""autoprune train-policy and apply: from several networks to one that was never seen."""

import json
import shutil
import struct
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import autoprune
from autoprune.agents.policy import Policy
from autoprune.agents.policy_format import LARGEST_DESCRIPTION
from autoprune.cli.main import main
from autoprune.commands.apply.config import ApplyConfig
from autoprune.commands.apply.run import run_apply
from autoprune.commands.train_policy.config import TrainPolicyConfig
from autoprune.commands.train_policy.run import run_train_policy
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation import user_code as factories
from autoprune.foundation.progress import Silent
from autoprune.networks.zoo import build as build_zoo
from autoprune.pipeline.tuning import FinalistsConfig, Tuning
from autoprune.runs.journal import read_journal
from tests import owncode
from tests.browser import assert_readable, fetched, look
from tests.killing import Dies, Killed
from tests.quick_policy import QUICK, quicken

MODELS = "nets.py:build=build.safetensors@mydata.py:loaders,nets.py:wide=wide.safetensors"
APPLY = {
    "model": "nets.py:wide",
    "weights": "wide.safetensors",
    "data": "mydata.py:loaders",
    "finetune-epochs": "1",
    "no-baseline": None,
    "policy": "taught",
    "budget": "0.5flops",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A user's directory with two networks and the run of a policy trained on both."""
    place = tmp_path_factory.mktemp("policies")
    owncode.write(place)
    home = tmp_path_factory.getbasetemp() / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.chdir(place)
        for name in ("build", "wide", "flat"):
            torch.manual_seed(0)
            network = factories.load(f"nets.py:{name}")[0]()
            save_file(network.state_dict(), f"{name}.safetensors")
        teach(config())
    return place


@pytest.fixture(autouse=True)
def place(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def teach(asked, progress=None):
    """Train a small policy; return its result as JSON."""
    return run_train_policy(asked, progress or Silent(), QUICK).to_json()


def config(run="taught", **changes):
    options = {"models": MODELS, "data": "mydata.py:loaders", "evaluations": 8, **changes}
    return TrainPolicyConfig(run=run, **options)


def run(capsys, command, **options):
    """Run a command that succeeds; return its JSON object, which is all it prints."""
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    arguments = [text for text in arguments if text is not None]
    assert main([command, "--json", *arguments]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    return json.loads(out)


def refusal(capsys, command, code, **options):
    """Run a command that fails; return its one line."""
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    arguments = [text for text in arguments if text is not None]
    assert main([command, *arguments]) == code
    out, err = capsys.readouterr()
    line = err.splitlines()[-1]
    assert out == "" and "Traceback" not in err and "internal error" not in err
    assert line.startswith("autoprune: error: ")
    return line


# ---- train-policy


def test_a_policy_says_what_it_was_trained_on_and_names_no_place(place):
    description = json.loads((place / "taught" / "policy.json").read_text())
    about = description["trained_on"]
    assert [item["name"] for item in about["networks"]] == ["nets.py:build", "nets.py:wide"]
    assert [item["evaluations"] for item in about["networks"]] == [4, 4]
    assert about["budgets"] == [0.3, 0.8] and about["evaluations"] == 8
    assert str(place) not in json.dumps(description) and "safetensors" not in json.dumps(about)
    assert Policy.load("taught").budgets == (0.3, 0.8)


def test_the_result_counts_and_compares(place, capsys):
    result = json.loads((place / "taught" / "result.json").read_text())
    assert result == run(capsys, "train-policy", **arguments_of(config()))
    assert len(result["plans"]) == 2 * 6
    for row in result["plans"]:
        assert row["dp"] <= row["uniform"] + 1e-6
    assert result["evaluations"] == 8 == len(read_journal(place / "taught/evaluations.jsonl"))
    assert [item["groups"] for item in result["networks"]] == [2, 2]


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_of_a_policy_shows_what_the_json_says(place, dark):
    text = (place / "taught" / "report.html").read_text()
    result = json.loads((place / "taught" / "result.json").read_text())
    seen = look(text, place, dark=dark)
    assert_readable(seen)
    assert fetched(text) == []
    for page in seen.values():
        assert page["values"]["evaluations"] == "8"
        for name, reward in result["exam"].items():
            assert page["values"][f"exam.{name}"] == f"{reward:.3f}"
        assert [chart["name"] for chart in page["charts"]] == ["nets.py:build", "nets.py:wide"]
        for chart in page["charts"]:
            mine = [row for row in result["plans"] if row["network"] == chart["name"]]
            budgets = {row["budget"] for row in mine if row["uniform"] > 0}
            assert chart["key"] == ["uniform", "dp", "policy"]
            assert budgets and budgets <= set(chart["texts"])
        (networks,) = [rows for rows in page["rows"] if rows[0][:2] == ["network", "groups"]]
        assert [row[1:3] for row in networks[1:]] == [["2", "4"]] * 2


def arguments_of(asked):
    return {
        "models": asked.models,
        "data": asked.data,
        "evaluations": str(asked.evaluations),
        "run": asked.run,
    }


def test_training_killed_again_and_again_ends_byte_for_byte_like_one_that_was_not(place):
    killed = config("killed")
    for phase, steps in (("search", 3), ("search", 6), ("imitate", 50), ("practice", 4)):
        with pytest.raises(Killed):
            teach(killed, Dies(phase, steps))
    teach(killed)
    for name in ("policy.safetensors", "policy.json", "evaluations.jsonl"):
        assert (place / "killed" / name).read_bytes() == (place / "taught" / name).read_bytes()


@pytest.mark.parametrize("agent", ["ddpg", "ppo"])
def test_the_policy_says_who_trained_it_and_the_result_what_the_exam_came_to(agent, place):
    result = teach(config(f"by-{agent}", agent=agent, budgets="0.2..0.9"))
    assert result["agent"] == agent == Policy.load(f"by-{agent}").trained_on["agent"]
    assert set(result["exam"]) == {"planner", "imitation", agent}
    assert all(-5 <= value < 50 for value in result["exam"].values())


def test_no_evaluation_is_enough():
    result = teach(config("free", evaluations=0))
    assert result["evaluations"] == 0
    assert [name for name, value in result["coefficients"].items() if value] == ["constant"]
    assert [item["best"] for item in result["networks"]] == [None, None]


def test_a_run_that_trained_a_network_stands_for_it(place, capsys):
    trained = {"model": "nets.py:build", "data": "mydata.py:loaders", "epochs": "1", "run": "net"}
    run(capsys, "train", **trained)
    result = teach(config("from-run", models="net", evaluations=0))
    assert [item["name"] for item in result["networks"]] == ["net"]


def test_ranges_of_several_costs_are_all_trained():
    result = teach(config("ranges", evaluations=0, budgets="0.3..0.8,0.4..0.9params"))
    budgets = [row["budget"] for row in result["plans"] if row["network"] == "nets.py:wide"]
    assert budgets[::5][:2] == ["0.3flops", "0.8flops"]
    assert budgets[6] == "0.4params" and budgets[-1] == "0.9params"


def test_the_run_shows_itself_again(capsys):
    assert main(["report", "--run", "taught"]) == 0
    out, _ = capsys.readouterr()
    assert "nets.py:wide on mydata.py:loaders" in " ".join(out.split())
    assert "autoprune apply --policy taught" in " ".join(out.split())


BAD_TRAINING = {
    "models=": "cannot read the network ''",
    "models=nets.py:build=": "cannot read the network",
    "models=nets.py:build": "has no trained weights",
    "models=a=b,a=b": "names a twice",
    "models=taught": "is not a run of autoprune train",
    "models=resnet21=x": "unknown network 'resnet21'",
    "budgets=0.5flops": "cannot read the budgets",
    "budgets=0.8..0.3": "do not rise",
    "budgets=0.5..1.5": "do not rise",
    "budgets=0.3..0.8foops": "unknown unit 'foops'",
    "ranking=l3": "unknown ranking 'l3'",
    "agent=dp": "unknown agent 'dp'",
    "evaluations=-1": "at least 0",
    "seed=-1": "at least 0",
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_requests_for_training_get_one_line_and_leave_no_run(case, place, capsys):
    option, _, value = case.partition("=")
    options = {**arguments_of(config("bad")), option: value}
    assert BAD_TRAINING[case] in refusal(capsys, "train-policy", 2, **options)
    assert not (place / "bad").exists()


def test_a_budget_that_one_network_cannot_meet_is_left_out_and_said(capsys, monkeypatch):
    quicken(monkeypatch)
    options = {**arguments_of(config("low")), "evaluations": "0", "budgets": "0.01..0.9"}
    result = run(capsys, "train-policy", **options)
    budgets = {row["budget"] for row in result["plans"]}
    assert "0.01flops" not in budgets and "0.9flops" in budgets
    refused = {**options, "budgets": "0.001..0.002", "run": "lower"}
    assert "no plan meets" in refusal(capsys, "train-policy", 3, **refused)


# ---- apply


@pytest.mark.parametrize("evaluations", [0, 7])
def test_apply_in_python_prunes_as_the_command_does(evaluations, capsys):
    told = run(capsys, "apply", **APPLY, run="told", evaluations=str(evaluations))
    model = factories.load("nets.py:wide")[0]()
    model.load_state_dict(load_file("wide.safetensors"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    asked = {"policy": "taught", "evaluations": evaluations, "finetune_epochs": 1}
    result = autoprune.apply(model, "mydata.py:loaders", "0.5flops", **asked, run="called")
    assert dict(result.plan) == told["plan"] and result.evaluations == told["evaluations"]
    assert result.agent == "policy" and (result.score is None) == (evaluations == 0)
    assert sum(p.numel() for p in result.model.parameters()) < sum(
        map(torch.numel, before.values())
    )
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    again = autoprune.apply(model, "mydata.py:loaders", "0.5flops", **asked, run="called")
    assert again.to_json() == result.to_json()
    with pytest.raises(UsageError, match="no policy in"):
        autoprune.apply(model, "mydata.py:loaders", policy="nowhere")


@pytest.mark.parametrize("budget", ["0.5flops", "0.4params", "0.5bytes", "0.6energy", "4kmacs"])
def test_apply_prunes_on_any_budget_with_no_evaluation_and_answers_as_search_does(budget, capsys):
    applied = run(capsys, "apply", **{**APPLY, "budget": budget}, run="applied")
    searched = run(
        capsys,
        "search",
        **{k: v for k, v in APPLY.items() if k != "policy"},
        agent="random",
        evaluations="2",
        run="searched",
    )
    assert applied.keys() == searched.keys()
    assert applied["evaluations"] == 0 and applied["score"] is None
    assert applied["agent"] == "policy"
    assert applied["recovered"]["macs"] < applied["base"]["macs"]
    assert read_journal(Path("applied/evaluations.jsonl")) == []
    assert Policy.load("applied").to_json() == Policy.load("taught").to_json()


def test_a_few_evaluations_go_on_from_the_policy_and_end_no_lower(capsys):
    plain = run(capsys, "apply", **APPLY, run="plain")
    refined = run(capsys, "apply", **APPLY, run="refined", evaluations="8")
    records = read_journal(Path("refined/evaluations.jsonl"))
    # More than the plans it starts from; this network has few others.
    assert 5 < refined["evaluations"] == len(records) <= 8
    assert records[0]["plan"] == plain["plan"]
    assert refined["warnings"] == []
    assert Policy.load("refined").trained_on["evaluations"] == len(records)


class Phases(Silent):
    """Remembers how long each phase was announced to be."""

    def __init__(self):
        self.totals = {}

    @contextmanager
    def phase(self, name, total):
        self.totals[name] = total
        yield self


def test_the_plans_a_refinement_starts_from_are_finalists_however_they_score():
    seen = Phases()
    asked = ApplyConfig(
        budget="0.5flops",
        model="nets.py:wide",
        weights="wide.safetensors",
        data="mydata.py:loaders",
        policy="taught",
        evaluations=8,
        finetune_epochs=1,
        workers=1,
        run="finals",
    )
    result = run_apply(asked, seen, Tuning(finalists=FinalistsConfig(1)))
    records = read_journal(Path("finals/evaluations.jsonl"))
    best = min(records, key=lambda record: record["loss"])
    assert 1 < seen.totals["finals"] <= 4  # the best, and what of three plans is not the best
    assert dict(result.plan) in [record["plan"] for record in [*records[:3], best]]


def test_the_shipped_policy_is_used_when_none_is_named(capsys):
    options = {name: value for name, value in APPLY.items() if name != "policy"}
    run(capsys, "apply", **options, run="shipped")
    shipped = Policy.shipped()
    assert Policy.load("shipped").to_safetensors() == shipped.to_safetensors()
    assert shipped.trained_on["networks"] and shipped.budgets is not None


@pytest.mark.parametrize("name", ["vgg19", "mobilenetv1", "densenet40", "ocrnet"])
def test_the_shipped_policy_plans_for_families_of_networks(name):
    from autoprune.cost.budget import Budget
    from autoprune.cost.model import CostModel
    from autoprune.problem.problem import PruningProblem
    from autoprune.problem.statistics import weight_statistics
    from autoprune.ranking.rank import rank
    from autoprune.structure.analyze import analyze

    model = build_zoo(name)
    shape = (2, 1, 32, 128) if name == "ocrnet" else (2, 3, 32, 32)
    structure = analyze(model, torch.zeros(shape))
    cost = CostModel(structure)
    bound = Budget.parse("0.5flops").bind(cost)
    statistics = weight_statistics(structure, model.state_dict())
    problem = PruningProblem(structure, cost, bound, rank(model, structure, "l1"), None, statistics)
    plan = Policy.shipped().plan(problem)
    assert bound.met(plan) and bound.top_up(plan) == plan


def test_what_a_policy_cannot_do_well_is_said(capsys):
    outside = run(capsys, "apply", **{**APPLY, "budget": "0.15flops"}, run="outside")
    assert any("trained on 0.3 to 0.8" in text for text in outside["warnings"])
    flat = {**APPLY, "model": "nets.py:flat", "weights": "flat.safetensors"}
    single = run(capsys, "apply", **flat, run="single")
    assert any("one group" in text for text in single["warnings"])
    spent = run(capsys, "apply", **APPLY, run="spent", evaluations="2")
    assert any("nothing was refined" in text for text in spent["warnings"])


def test_a_policy_that_changed_under_a_run_is_noticed(place, capsys):
    run(capsys, "apply", **APPLY, run="changed")
    (place / "changed" / "result.json").unlink()
    shutil.rmtree(place / "taught")
    shutil.copytree(place / "changed", place / "taught")
    content = bytearray((place / "taught" / "policy.safetensors").read_bytes())
    content[-1] ^= 1
    (place / "taught" / "policy.safetensors").write_bytes(content)
    assert "is damaged" in refusal(capsys, "apply", 4, **APPLY, run="changed")
    (place / "taught" / "manifest.json").unlink()
    assert "policy changed since" in refusal(capsys, "apply", 2, **APPLY, run="changed")


# ---- files of strangers


def written(place, change=None, content=None):
    """Write the trained policy as loose files; ``change`` edits the description."""
    source = place / "taught"
    description = json.loads((source / "policy.json").read_text())
    if change:
        change(description)
    folder = place / "loose"
    folder.mkdir(exist_ok=True)
    (folder / "policy.json").write_text(json.dumps(description))
    tensors = (source / "policy.safetensors").read_bytes()
    (folder / "policy.safetensors").write_bytes(content(tensors) if content else tensors)
    return folder


def header(tensors, text):
    """A file that announces tensors it does not hold."""
    data = json.dumps(text).encode()
    return struct.pack("<Q", len(data)) + data + tensors


HUGE = {"0.weight": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}}
STRANGERS = {
    "another observation": ({"change": lambda d: d["observation"].update(version=1)}, "other obs"),
    "another format": ({"change": lambda d: d.update(format=99)}, "not a policy of a format"),
    "too wide": ({"change": lambda d: d.update(widths=[10**9, 1])}, "description is damaged"),
    "too deep": ({"change": lambda d: d.update(widths=[1] * 10**4)}, "description is damaged"),
    "odd activations": ({"change": lambda d: d.update(hidden=["relu"])}, "description is damaged"),
    "cut off": ({"content": lambda c: c[:-9]}, "cannot be read"),
    "empty": ({"content": lambda c: b""}, "cannot be read"),
    "endless header": ({"content": lambda c: struct.pack("<Q", 2**63) + c}, "cannot be read"),
    "huge announcement": ({"content": lambda c: header(c, HUGE)}, "cannot be read"),
    "a pickle": ({"content": lambda c: b"\x80\x04cos\nsystem\n(S'id'\ntR."}, "cannot be read"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_files_that_are_no_policy_are_refused_in_one_line(name, place, capsys):
    changes, said = STRANGERS[name]
    folder = written(place, **changes)
    options = {**APPLY, "policy": str(folder)}
    assert said in refusal(capsys, "apply", 4, **options, run="refused")
    assert not (place / "refused").exists()


def test_a_policy_loads_from_its_directory_and_from_either_file(place):
    folder = written(place)
    contents = {
        Policy.load(path).to_safetensors()
        for path in (folder, folder / "policy.json", folder / "policy.safetensors")
    }
    assert len(contents) == 1
    for path in (place / "nowhere", place / "nets.py"):
        with pytest.raises(UsageError, match="no policy in"):
            Policy.load(path)


def test_size_is_checked_before_anything_is_read(place):
    folder = written(place)
    with (folder / "policy.json").open("r+b") as stream:
        stream.truncate(LARGEST_DESCRIPTION + 1)
    with pytest.raises(DamagedError, match="larger than any policy"):
        Policy.load(folder)
    with (written(place) / "policy.safetensors").open("r+b") as stream:
        stream.truncate(2**40)  # sparse: a terabyte on paper
    with pytest.raises(DamagedError, match="larger than any policy"):
        Policy.load(folder)


def test_weights_that_overflow_are_refused_not_followed(place, capsys):
    policy = Policy.load("taught")
    for weight in policy.weights:
        weight[:] = 3e38
    folder = written(place, content=lambda c: policy.to_safetensors())
    line = refusal(capsys, "apply", 4, **{**APPLY, "policy": str(folder)}, run="overflow")
    assert "overflow" in line


def test_what_a_stranger_says_of_budgets_is_only_believed_if_it_is_two_numbers(place):
    for said in ([0.3], "0.3..0.8", [None, 1], {"a": 1}, [0.3, "x"], None):
        folder = written(place, change=lambda d, said=said: d["trained_on"].update(budgets=said))
        assert Policy.load(folder).budgets is None
