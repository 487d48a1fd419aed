"""What a clumsy or hostile user gets: one line, a next step, the exit code; and keeps what was."""

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from torch import nn

import autoprune
from autoprune.cli.main import main
from autoprune.cost.latency.cache import Times, machine
from autoprune.errors import DamagedError, InfeasibleError, UsageError
from autoprune.foundation import files
from autoprune.foundation import user_code as factories
from autoprune.foundation.files import read_json, text_writer
from autoprune.networks.weights import load_weights
from autoprune.pipeline import stages as phases
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.journal import read_journal
from tests import owncode

FAILED, USAGE, INFEASIBLE, DAMAGED, LOCKED, INTERRUPTED = 1, 2, 3, 4, 5, 130
GOOD = {
    "--budget": "0.5flops",
    "--model": "nets.py:build",
    "--weights": "build.safetensors",
    "--data": "mydata.py:loaders",
    "--agent": "random",
    "--evaluations": "4",
    "--finetune-epochs": "1",
    "--run": "run",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a directory with a user's files and a finished run, not to be written to."""
    place = tmp_path_factory.mktemp("finished")
    owncode.write(place)
    owncode.nan_weights(place)
    home = tmp_path_factory.getbasetemp() / "home"  # that of every test, not yet set here
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.chdir(place)
        assert main(command()) == 0
    return place


@pytest.fixture(autouse=True)
def place(finished, tmp_path, monkeypatch):
    """Work in a directory with a user's files and no run."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["run", ".run.lock"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(finished, place):
    """Return a copy of the finished run of the ``GOOD`` command."""
    return Path(shutil.copytree(finished / "run", place / "run"))


def command(*extra, **changes):
    changes = {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    options = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return ["search", *itertools.chain(*options.items()), *extra]


def complaint(capsys, arguments, code):
    """Run a command that fails; return its one line, hint included."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    *before, line = err.splitlines()
    assert not any(word in err for word in ("internal error", "Warning", "def forward"))
    assert not any(earlier.startswith("autoprune: error") for earlier in before)
    assert line.startswith("autoprune: error: ")
    assert line.endswith(")"), "no next step"
    return line


def untouched(place):
    """Whether neither a run nor the lock of one was begun."""
    return not any((place / name).exists() for name in ("run", ".run.lock", "logs"))


# ---- words and numbers: refused before anything is loaded

WORDS = {
    "budget=0.5foops": "unknown unit 'foops'",
    "budget=banana": "must start with a finite number",
    "budget=0flops": "above 0",
    "budget=-0.5flops": "above 0",
    "budget=nanflops": "finite number",
    "budget=1.5flops": "fraction over 1",
    "budget=1e400flops": "out of range",
    "budget=0.5": "a unit is missing",
    "budget=": "cannot read the budget ''",
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
    "task=classificaton": "classification, ctc, or file.py:function",
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
    assert WORDS[case] in complaint(capsys, command(**{option: value}), USAGE)
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


# ---- data that does not fit

DATA = {
    "empty": "train data is empty",
    "scarce": "too few",
    "uneven": "59 and 60 samples",
    "colored": "[2, 3, 8, 8]: RuntimeError: Given groups=1",
    "five": "has outputs for 3 classes, but train has label 4",
    "negative": "has label -1",
    "floats": "the labels of train are float32, not integers",
    "onehot": "[3] per sample",
    "nan": "NaN or infinity, first in sample 3",
    "raises": "ValueError: no data today",
    "none": "cannot read samples from NoneType",
    "number": "cannot read samples from int",
    "words": "holds str",
    "typo": "unknown split 'tset'",
}


@pytest.mark.parametrize("name", DATA)
def test_data_that_does_not_fit(name, place, capsys):
    assert DATA[name] in complaint(capsys, command(data=f"mydata.py:{name}"), USAGE)
    assert untouched(place)


def test_images_of_another_size_than_a_flatten_expects(place, capsys):
    arguments = command(model="nets.py:flat", weights="flat.safetensors", data="mydata.py:large")
    assert "of shape [2, 1, 28, 28]" in complaint(capsys, arguments, USAGE)
    assert untouched(place)


# ---- weights that do not fit


def test_weights_that_do_not_fit(place, capsys):
    for name, found in {
        "wide": "bn1.bias has shape [12], the model's has [8]",
        "flat": "9 missing, first conv1.weight; 4 unexpected",
        "nan": "conv2.weight holds NaN",
    }.items():
        arguments = command(weights=f"{name}.safetensors")
        assert found in complaint(capsys, arguments, DAMAGED)
    whole = (place / "build.safetensors").read_bytes()
    (place / "torn.safetensors").write_bytes(whole[:-10])
    (place / "torn.pt").write_bytes(whole[:-10])
    for name in ("torn.safetensors", "torn.pt"):
        assert name in complaint(capsys, command(weights=name), DAMAGED)
    assert untouched(place)


class Sentinel:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("name", ["evil.pt", "evil.safetensors"])
def test_code_in_a_checkpoint_is_not_run(name, place, capsys):
    torch.save({"state_dict": Sentinel()}, place / name)
    assert "not " in complaint(capsys, command(weights=name), DAMAGED)
    assert not (place / "executed").exists()
    assert untouched(place)


# ---- networks that cannot be pruned


def test_a_network_that_cannot_be_exported_says_where(place, capsys):
    line = complaint(capsys, command(model="nets.py:branching"), USAGE)
    number = (
        owncode.NETS.lstrip()
        .splitlines()
        .index("        if x.sum() > 0:  # the line that cannot be exported")
    )
    assert f"nets.py:{number + 1} in forward" in line
    assert untouched(place)


@pytest.mark.parametrize(
    ("name", "reason"), [("linear", "1: model output"), ("fixed", "conv: fails when smaller")]
)
def test_nothing_prunable_says_why(name, reason, place, capsys):
    line = complaint(capsys, command(model=f"nets.py:{name}", weights=f"{name}.safetensors"), USAGE)
    assert "nothing in the network can be pruned" in line
    assert reason in line
    assert untouched(place)


def test_an_unreachable_budget_names_the_least_that_can_be_reached(place, capsys):
    line = complaint(capsys, command(budget="0.001flops"), INFEASIBLE)
    reachable = line.rsplit("at least ", 1)[1].rstrip(")")
    assert untouched(place)
    assert main(command(budget=reachable, finetune_epochs="0")) == 0


@pytest.mark.parametrize("budget", ["0.000001ms", "0.001latency", "1flops,0.001latency"])
def test_a_latency_that_the_device_cannot_reach_names_the_least_it_can(budget, place, capsys):
    line = complaint(capsys, command(budget=budget), INFEASIBLE)
    assert "cannot go below" in line and "ms, 0" in line
    assert f"ask for at least 0.{line.rsplit('at least 0.', 1)[1]}" in line
    assert untouched(place)


def test_a_damaged_latency_cache_is_named_once_and_measured_again(place, capsys):
    path = Times(machine(torch.device("cpu"), "torch")).path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"format": 1, "on"')
    assert main(command(budget="1latency", agent="uniform", finetune_epochs="0")) == 0
    err = capsys.readouterr().err
    assert err.count("is damaged") == 1 and str(path) in err.replace("\n", "")
    assert json.loads(path.read_text())["times"]


def test_units_that_come_in_a_thousand(place, capsys):
    assert "1 of the dense" in complaint(capsys, command(align="1000"), INFEASIBLE)
    assert untouched(place)
    assert main(command("--json", align="1000", budget="1flops", finetune_epochs="0")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["recovered"]["macs"] == result["base"]["macs"]
    assert result["plan"] == {"conv1": 8, "conv2": 8}


def test_code_that_refuses_some_widths_is_named(place, capsys):
    line = complaint(capsys, command(model="nets.py:sometimes_raises", evaluations="30"), USAGE)
    assert "an even number of twos, please" in line
    assert "--align" in line
    assert read_journal(place / "run" / "evaluations.jsonl") is not None


def test_plans_that_score_nan_are_marked_and_the_search_goes_on(place, capsys):
    arguments = command("--json", model="nets.py:sometimes_nan", evaluations="12")
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    records = read_journal(place / "run" / "evaluations.jsonl")
    assert len(records) == result["evaluations"] > 3
    for record in records:
        assert record["failed"] == (record["plan"]["conv1"] in (5, 6))
        assert math.isfinite(record["score"])
        assert math.isfinite(record["loss"])
    assert {record["failed"] for record in records} == {False, True}
    assert result["plan"]["conv1"] not in (5, 6)


# ---- tasks

TASKS = {
    "NoInputs": "finds no inputs",
    "ManyLosses": "returns a loss of shape [2]",
    "NanLoss": "returns the loss nan",
    "Percent": "returns the scores",
    "Words": "returns str for scores",
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_that_do_not_work(name, place, capsys):
    assert TASKS[name] in complaint(capsys, command(task=f"mytask.py:{name}"), USAGE)
    assert untouched(place)


# ---- run directories


def test_a_run_directory_that_is_a_file(place, capsys):
    before = (place / "nets.py").read_bytes()
    for extra in ((), ("--fresh",)):
        line = complaint(capsys, command(*extra, run="nets.py"), USAGE)
        assert "nets.py is a file" in line
    complaint(capsys, command(run="nets.py/run"), FAILED)
    assert (place / "nets.py").read_bytes() == before
    assert not (place / ".nets.py.lock").exists()


def test_a_directory_of_somebody_else_is_neither_used_nor_moved(place, capsys):
    (place / "home").mkdir()
    (place / "home" / "thesis.tex").write_text("mine")
    for extra in ((), ("--fresh",)):
        assert "thesis.tex" in complaint(capsys, command(*extra, run="home"), USAGE)
    assert [item.name for item in (place / "home").iterdir()] == ["thesis.tex"]
    assert not list(place.glob("*home.*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_place_that_cannot_be_written(place, capsys):
    (place / "locked").mkdir(mode=0o555)
    assert "cannot write" in complaint(capsys, command(run="locked/run"), FAILED)


def test_a_run_of_another_configuration(run, capsys):
    before = contents(run)
    line = complaint(capsys, command(budget="0.4flops"), USAGE)
    assert "budget='0.5flops', not '0.4flops'" in line
    shutil.copy("wide.safetensors", "build.safetensors")
    complaint(capsys, command(), DAMAGED)
    owncode.write(Path())
    weights = load_file("build.safetensors")
    weights["head.bias"] += 1
    torch.save(weights, "other.pt")
    assert "weights" in complaint(capsys, command(weights="other.pt"), USAGE)
    assert contents(run) == before


def test_another_writer(run, capsys):
    before = contents(run)
    code = (
        "import sys; from filelock import FileLock; lock = FileLock('.run.lock'); lock.acquire();"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        for extra in ((), ("--fresh",)):
            assert "another process" in complaint(capsys, command(*extra), LOCKED)
        holder.stdin.close()
    assert contents(run) == before
    assert main(command()) == 0


def contents(run):
    return {item.name: item.read_bytes() for item in run.iterdir()}


# ---- finished runs


def test_the_same_command_again_shows_the_result_and_changes_nothing(run, capsys):
    before = contents(run)
    assert main(command("--json")) == 0
    out, err = capsys.readouterr()
    assert "is finished" in err
    assert "search" not in err
    stored = {**json.loads(before["result.json"]), "run": "run"}
    assert json.loads(out) == stored
    assert contents(run) == before


def test_fresh_keeps_the_old_run(run):
    before = contents(run)
    assert main(command("--fresh")) == 0
    assert contents(run.with_name("run.old-1")) == before
    assert (run / "plan.json").read_bytes() == before["plan.json"]


@pytest.mark.parametrize("how", ["flipped", "torn", "gone"])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "plan.json", "result.json"])
def test_a_damaged_file_is_never_used_and_made_anew(name, how, run, capsys):
    whole = (run / name).read_bytes()
    damage(run / name, how)
    if name.startswith("model"):
        error = UsageError if (name, how) == ("model.json", "gone") else DamagedError
        with pytest.raises(error):
            autoprune.load("run", trust_code=True)
    assert main(command()) == 0
    if name != "result.json" or how != "gone":  # then it is a run that was not finished
        assert name in capsys.readouterr().err
    again = (run / name).read_bytes()
    if name in ("result.json", "model.json"):  # hold times, or where nets.py lies
        part = "plan" if name == "result.json" else "indices"
        assert json.loads(again)[part] == json.loads(whole)[part]
    else:
        assert again == whole
    autoprune.load("run", trust_code=True)


def damage(path, how):
    whole = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "torn":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_a_run_that_cannot_say_what_it_is_wants_fresh(name, run, capsys):
    damage(run / name, "flipped")
    before = contents(run)
    line = complaint(capsys, command(), DAMAGED)
    assert name in line
    assert line.endswith("(start over with --fresh; the damaged run is kept beside the new one)")
    assert contents(run) == before
    assert main(command("--fresh")) == 0
    assert contents(run.with_name("run.old-1")) == before


# ---- journals


def test_a_torn_last_line_is_cut_and_the_search_goes_on(run):
    before = contents(run)
    journal = run / "evaluations.jsonl"
    for name in ("result.json", "plan.json", "model.json"):
        (run / name).unlink()
    journal.write_bytes(before["evaluations.jsonl"][:-30])
    assert main(command()) == 0
    assert journal.read_bytes() == before["evaluations.jsonl"]
    assert (run / "plan.json").read_bytes() == before["plan.json"]


@pytest.mark.parametrize("how", ["value", "garbage", "removed"])
def test_a_damaged_line_in_the_middle_is_named(how, run, capsys):
    journal = run / "evaluations.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    if how == "value":
        lines[2] = lines[2].replace(b'"failed":false', b'"failed":true')
    elif how == "garbage":
        lines[2] = b"\xff\x00 not json\n"
    else:
        del lines[2]
    journal.write_bytes(b"".join(lines))
    before = contents(run)
    line = complaint(capsys, command(), DAMAGED)
    assert f"line 3 of {Path('run/evaluations.jsonl')}" in line
    assert "--fresh" in line
    assert contents(run) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_ends_as_an_unbroken_one(
    number, finished, place, monkeypatch, capsys
):
    real, calls = phases.Evaluator.race, itertools.count(1)

    def interrupted(self, entry):
        if next(calls) == 3:
            os.kill(os.getpid(), number)
        return real(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(phases.Evaluator, "race", interrupted)
        line = complaint(capsys, command(), INTERRUPTED)
    assert "the same command goes on from there" in line
    assert len(read_journal(place / "run" / "evaluations.jsonl")) == 2
    assert main(command()) == 0
    for name in ("plan.json", "evaluations.jsonl", "model.safetensors", "masks.safetensors"):
        unbroken = finished / "run" / name
        assert (place / "run" / name).read_bytes() == unbroken.read_bytes(), name


def test_training_that_falls_apart_still_ends_in_a_network(place, monkeypatch, capsys):
    reckless = phases.FitConfig(learning_rate=1e30)
    monkeypatch.setattr(phases, "softened", lambda model, samples: reckless)
    assert main(command("--json", finetune_epochs="3")) == 0
    result = json.loads(capsys.readouterr().out)
    assert any("fine-tuning stopped early" in text for text in result["warnings"])
    for value in autoprune.load("run").state_dict().values():
        assert value.isfinite().all()


# ---- output


def test_what_the_users_code_prints_is_no_result(place, capsys):
    assert main(command("--json", model="nets.py:chatty", finetune_epochs="0")) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out)["evaluations"] == 4
    assert "building a network" in err


# ---- from Python


def pair(count=40):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.arange(count) % 3


def small():
    return factories.load("nets.py:build")[0]()


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo):
        raise TypeError("cannot copy a socket")


class Keeping(nn.Linear):
    def get_extra_state(self):
        return {"steps": 3}


class Pairs(nn.Linear):
    def forward(self, x):
        return super().forward(x.reshape(2, 64))


LIVE = {
    "uncopied": (lambda: {"model": Uncopied(64, 3)}, "cannot be copied: TypeError: cannot copy a"),
    "keeping": (lambda: {"model": Keeping(64, 3)}, "_extra_state of the model is dict"),
    "pairs": (lambda: {"model": Pairs(64, 3)}, "does not accept a batch"),
    "no model": (lambda: {"model": None}, "the model is NoneType, not an nn.Module"),
    "a class": (lambda: {"model": nn.Identity}, "the model is Identity, not an nn.Module"),
    "an untrained name": (lambda: {"model": "resnet20"}, "resnet20 has no trained weights"),
    "no data": (lambda: {"data": None}, "cannot read samples from NoneType"),
    "empty": (lambda: {"data": pair(0)}, "empty"),
    "a number": (lambda: {"budget": 0.5}, "a budget is text with a unit"),
    "half": (lambda: {"evaluations": 2.5}, "must be a whole number, not 2.5"),
    "no task": (lambda: {"task": None}, "NoneType is not a task"),
    "no agent": (lambda: {"agent": None}, "unknown agent None"),
    "lazy": (lambda: {"model": nn.Sequential(nn.LazyConv2d(8, 3))}, "0.weight of the model has no"),
    "meta": (lambda: {"model": small().to("meta")}, "conv1.weight of the model has no values"),
    "no weights": (
        lambda: {"model": nn.Sequential(nn.Flatten(), nn.ReLU())},
        "nothing in the network can be pruned (it has no layers with weights)",
    ),
}


@pytest.mark.parametrize("case", LIVE)
def test_search_on_the_wrong_objects(case, place):
    make, message = LIVE[case]
    with pytest.raises(UsageError) as caught:
        autoprune.search(**{"model": small(), "data": pair(), "run": "run", **make()})
    assert message in str(caught.value)
    assert caught.value.hint or case == "half"
    assert untouched(place)


def test_nan_in_a_live_network_is_named(place):
    model = small()
    with torch.no_grad():
        model.conv2.bias[1] = math.inf
    with pytest.raises(UsageError, match=r"conv2\.bias of the model holds NaN or infinity"):
        autoprune.search(model, pair(), run="run")
    with pytest.raises(InfeasibleError, match="at least"):
        autoprune.search(small(), pair(), "1e-9flops", run="run")
    assert untouched(place)


def test_analysis_of_what_cannot_be_analyzed():
    model = small()
    with pytest.raises(UsageError, match=r"does not run on its inputs: .* 3 channels"):
        autoprune.analyze(model, torch.randn(2, 3, 8, 8))
    with pytest.raises(UsageError, match="cannot be copied"):
        autoprune.analyze(Uncopied(64, 3), torch.randn(2, 64))
    with torch.no_grad():
        model.head.weight[0, 0] = math.nan
    with pytest.raises(UsageError, match=r"head\.weight of the model holds NaN"):
        autoprune.analyze(model, torch.randn(2, 1, 8, 8))


class Masking(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3))
        self.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))

    def forward(self, x):
        return super().forward(x) + self.mask[2]


def test_masks_may_be_infinite(tmp_path):
    options = {"agent": "uniform", "finetune_epochs": 1, "run": "run"}
    result = autoprune.search(Masking(), pair(), "0.5flops", **options)
    assert result.model.mask.isinf().any()
    torch.save(Masking().state_dict(), "mask.pt")
    load_weights(Masking(), "mask.pt")


def test_load_of_what_is_no_run(place):
    for path in ("nowhere", ".", "nets.py"):
        with pytest.raises(UsageError, match="holds no pruned network"):
            autoprune.load(path)
    (place / "model.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(DamagedError):
        autoprune.load(".")


def test_load_with_another_network(run):
    for name in ("two", "flat"):
        with pytest.raises(DamagedError, match=r"does not fit .*another model"):
            autoprune.load(run, factories.load(f"nets.py:{name}")[0]())
    loaded = autoprune.load(run, small())
    assert loaded.conv1.out_channels == read_json(run / "plan.json")["keep"]["conv1"]


def test_code_that_changed_since_is_not_run_without_consent(place):
    assert main(command(finetune_epochs="0")) == 0
    autoprune.load("run")
    text = "from pathlib import Path\nPath('executed').touch()\n" + owncode.NETS
    (place / "nets.py").write_text(text)
    with pytest.raises(DamagedError, match="trust_code"):
        autoprune.load("run")
    assert not Path("executed").exists()


def test_the_lock_is_free_after_every_end(run, capsys):
    for arguments in (command(), command(budget="0.4flops"), command(data="mydata.py:empty")):
        main(arguments)
        with FileLock(".run.lock", timeout=0):
            pass


EVIL = """
from pathlib import Path

Path("executed").touch()


def f(**_):
    return None
"""


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
    name, run, place, capsys
):
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
