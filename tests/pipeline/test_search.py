"""A search from end to end, on a user's own network, data and task, from files and from Python."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import autoprune
from autoprune.cli.main import main
from autoprune.cost.budget import Budget
from autoprune.cost.latency import LatencyModel
from autoprune.cost.model import CostModel
from autoprune.data import load_data
from autoprune.foundation import user_code as factories
from autoprune.pipeline import execute
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.inputs import from_config, from_objects, weights_hash
from autoprune.runs.journal import read_journal
from tests import owncode

MEASURES = {"accuracy", "macs", "parameters", "bytes", "latency_ms", "other"}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Work in a directory with a user's files; ``build`` has trained weights."""
    place = tmp_path_factory.mktemp("own")
    owncode.write(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        torch.manual_seed(0)
        model, ((images, labels), _) = own("nets", "build"), own("mydata", "loaders")
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(60):
            optimizer.zero_grad()
            cross_entropy(model(images), labels).backward()
            optimizer.step()
        torch.save({"model": model.state_dict()}, "trained.pt")
        yield place


def own(file, name):
    return factories.load(f"{file}.py:{name}")[0]()


def trained():
    model = own("nets", "build")
    model.load_state_dict(torch.load("trained.pt", weights_only=True)["model"])
    return model


def search(capsys, run, **changes):
    """Run ``autoprune search --json``; return its object, which is all it prints."""
    options = {
        "budget": "0.5flops",
        "model": "nets.py:build",
        "weights": "trained.pt",
        "data": "mydata.py:loaders",
        "agent": "random",
        "evaluations": 6,
        "finetune-epochs": 2,
        "run": run,
        **changes,
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    assert main(["search", "--json", *arguments]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    return json.loads(out)


@torch.no_grad()
def accuracy(model):
    images, labels = own("mydata", "loaders")[1]
    return float((model.eval()(images).argmax(1) == labels).float().mean())


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def lands(model, plan, budget, example):
    """Whether a plan meets a budget and no unit could be added."""
    bound = Budget.parse(budget).bind(CostModel(autoprune.analyze(model, example)))
    return bound.met(plan) and dict(bound.top_up(plan)) == dict(plan)


# ---- from files


def test_a_latency_budget_is_checked_on_the_final_network_and_kept_for_resuming(place, capsys):
    result = search(capsys, "timed", budget="1latency,0.9flops", agent="uniform", evaluations=1)
    latency = result["latency"]
    assert latency["predicted_ms"] > 0 and latency["batch"] == 54  # all there is
    assert latency["measured_ms"] == result["recovered"]["latency_ms"]
    assert {key: latency[key] for key in ("device", "backend")} == {
        "device": "cpu",
        "backend": "torch",
    }
    tables = json.loads((place / "timed" / "latency.json").read_text())
    kept = LatencyModel.from_json(tables)
    assert kept.cost(result["plan"]) == round(latency["predicted_ms"] * 1e6)
    (place / "timed" / "result.json").unlink()
    again = search(capsys, "timed", budget="1latency,0.9flops", agent="uniform", evaluations=1)
    assert again["latency"]["predicted_ms"] == latency["predicted_ms"]
    assert again["plan"] == result["plan"]


@pytest.mark.parametrize("agent", ["ddpg", "uniform"])
def test_own_network_weights_and_data_from_files(agent, place, capsys):
    result = search(capsys, agent, agent=agent, evaluations=4)
    assert result == json.loads((place / agent / "result.json").read_text())
    assert result["budget"] == "0.5flops"
    assert result["seed"] == 0
    assert result["seconds"] > 0
    assert result["evaluations"] == {"ddpg": 4, "uniform": 1}[agent]
    assert lands(trained(), result["plan"], "0.5flops", torch.randn(2, 1, 8, 8))
    model = autoprune.load(agent)
    conv1, conv2 = model.conv1.out_channels, model.conv2.out_channels
    assert result["plan"] == {"conv1": conv1, "conv2": conv2}
    macs = 64 * 9 * (conv1 + conv1 * conv2) + 3 * conv2
    for name, accurate, network in (("base", trained(), trained()), ("recovered", model, model)):
        assert result[name].keys() == MEASURES
        assert result[name]["accuracy"] == pytest.approx(accuracy(accurate))
        assert result[name]["parameters"] == count(network)
        assert result[name]["latency_ms"] > 0
    assert result["recovered"]["macs"] == result["pruned"]["macs"] == macs
    assert result["recovered"]["bytes"] < result["base"]["bytes"]
    assert result["base"]["accuracy"] > 0.9
    best = max(record["score"] for record in read_journal(place / agent / "evaluations.jsonl"))
    assert result["score"] <= best


@pytest.mark.parametrize(
    ("network", "data", "task"),
    [("build", "loaders", "Regression"), ("painter", "paintings", "Painting")],
)
def test_a_task_of_ones_own_is_what_is_measured_and_trained(network, data, task, capsys):
    result = search(
        capsys,
        task,
        model=f"nets.py:{network}",
        weights=f"{network}.safetensors",
        data=f"mydata.py:{data}",
        task=f"mytask.py:{task}",
        **{"finetune-epochs": 30},
    )
    dense, judge = own("nets", network), own("mytask", task)
    dense.load_state_dict(load_file(f"{network}.safetensors"))
    test = own("mydata", data)
    batch = test["test"] if isinstance(test, dict) else test[1]
    for name, model in (("base", dense), ("recovered", autoprune.load(task))):
        args, kwargs = judge.inputs(batch)
        with torch.no_grad():
            scores = judge.score(model.eval()(*args, **kwargs), batch)
        assert result[name]["accuracy"] == pytest.approx(float(scores.mean()), abs=1e-6)
    assert result["metric"] == f"{judge.name} score"
    # Trained on the task's own loss; classes and their cross-entropy would not get there.
    assert result["recovered"]["accuracy"] > result["pruned"]["accuracy"] + 0.01
    assert result["recovered"]["accuracy"] > result["base"]["accuracy"]


def test_the_curves_show_every_evaluation(place, capsys, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    monkeypatch.setattr(execute, "LONG", 0.0)
    result = search(capsys, "curves")
    events = EventAccumulator(str(place / "curves"))
    events.Reload()
    for name in ("search", "plan", "pareto"):
        (picture,) = events.Images(f"result/{name}")
        assert picture.width > picture.height > 100
        assert picture.encoded_image_string.startswith(b"\x89PNG")

    def curve(name):
        return [event.value for event in events.Scalars(f"search/{name}")]

    records = read_journal(place / "curves" / "evaluations.jsonl")
    losses = [record["loss"] for record in records]
    assert curve("score") == pytest.approx([record["score"] for record in records])
    assert curve("loss") == pytest.approx(losses)
    assert curve("reward_loss") == pytest.approx([-loss / (1 + loss) for loss in losses])
    assert len(losses) == result["evaluations"]
    best = [min(records[: n + 1], key=lambda r: r["loss"]) for n in range(len(records))]
    assert curve("best_loss") == pytest.approx([record["loss"] for record in best])
    assert curve("best_score") == pytest.approx([record["score"] for record in best])
    left = events.Scalars("outcome/macs_left")[0].value
    assert left == pytest.approx(result["recovered"]["macs"] / result["base"]["macs"])
    (parameters,) = [
        event.summary.value[0].metadata.plugin_data.content
        for file in (place / "curves").glob("events*")
        for event in EventFileLoader(str(file)).Load()
        if event.summary.value and event.summary.value[0].tag == "_hparams_/session_start_info"
    ]
    assert b"budget" in parameters and b"seed" in parameters
    assert b"align" not in parameters, "what nobody chose"


@pytest.mark.parametrize("agent", ["ddpg", "random"])
def test_a_seed_decides_everything(agent, place, capsys):
    for run, seed in (("one", 3), ("same", 3), ("other", 4)):
        shutil.rmtree(place / run, ignore_errors=True)
        search(capsys, run, agent=agent, seed=seed, evaluations=4, **{"finetune-epochs": 1})
    for name in ("plan.json", "evaluations.jsonl", "model.safetensors", "masks.safetensors"):
        first = (place / "one" / name).read_bytes()
        assert first == (place / "same" / name).read_bytes(), name
    other = (place / "other" / "evaluations.jsonl").read_bytes()
    assert other != (place / "one" / "evaluations.jsonl").read_bytes()


def test_without_a_model_the_embedded_one_is_trained_and_loads_without_consent(place, capsys):
    arguments = "--budget 0.3params --agent uniform --finetune-epochs 1 --no-baseline --run zoo"
    assert main(["search", "--json", *arguments.split()]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["base"]["accuracy"] > 0.95
    assert result["recovered"]["parameters"] <= 0.3 * result["base"]["parameters"]
    model = autoprune.load("zoo")
    assert count(model) == result["recovered"]["parameters"]
    test = load_data("digits").test
    (images, labels) = next(test.batches(len(test)))
    found = float((model(images).argmax(1) == labels).float().mean())
    assert found == pytest.approx(result["recovered"]["accuracy"])


def test_the_embedded_network_starts_the_same_from_python_and_from_the_command_line():
    config = SearchConfig(budget="0.5flops", seed=5)
    ours = from_config(config)
    before = torch.get_rng_state()
    live = from_objects("digits-resnet", "digits", "classification", config)
    assert torch.equal(torch.get_rng_state(), before)
    other = from_config(SearchConfig(budget="0.5flops", seed=6))
    assert weights_hash(live.model) == weights_hash(ours.model) != weights_hash(other.model)
    assert live.data.fingerprint == ours.data.fingerprint != other.data.fingerprint
    assert (live.trained, ours.trained) == (False, False)


# ---- from Python


@pytest.fixture(scope="module")
def live(place):
    """Return a network, a copy from before the search, data and the result."""
    model = trained().train()
    model.bn1.eval()
    model.head.weight.requires_grad_(False)
    before = copy.deepcopy(model)
    train, test = own("mydata", "loaders")
    data = (DataLoader(TensorDataset(*train), batch_size=16, shuffle=True), test)
    torch.manual_seed(1)
    random = torch.get_rng_state()
    result = autoprune.search(
        model,
        data,
        budget="0.6flops, 0.7params",
        agent="random",
        evaluations=5,
        finetune_epochs=1,
        run=place / "live",
    )
    assert torch.equal(torch.get_rng_state(), random)
    return model, before, data, result


def test_a_search_leaves_the_users_model_alone(live):
    model, before, _, result = live
    assert result.model is not model
    for (name, value), old in zip(
        model.state_dict().items(), before.state_dict().values(), strict=True
    ):
        assert torch.equal(value, old), name
    for module, old in zip(model.modules(), before.modules(), strict=True):
        assert module.training == old.training
    for value, old in zip(model.parameters(), before.parameters(), strict=True):
        assert value.requires_grad == old.requires_grad
        assert value.grad is None


def test_the_result_is_compact_and_on_both_budgets(live):
    model, _, _, result = live
    structure = autoprune.analyze(model, torch.randn(2, 1, 8, 8))
    assert type(result.model) is type(model)
    assert count(result.model) == CostModel(structure).parameters(result.plan)
    assert lands(model, result.plan, "0.6flops, 0.7params", torch.randn(2, 1, 8, 8))
    assert result.finetuned.score == pytest.approx(accuracy(result.model))
    flags = {name: value.requires_grad for name, value in model.named_parameters()}
    assert {n: value.requires_grad for n, value in result.model.named_parameters()} == flags
    sliced = autoprune.prune(model, structure, result.plan)
    assert {n: v.shape for n, v in sliced.state_dict().items()} == {
        n: v.shape for n, v in result.model.state_dict().items()
    }


def test_a_saved_result_loads_to_the_same_outputs(live, place):
    _, _, _, result = live
    result.save(place / "saved")
    fresh = own("nets", "build")
    images = torch.randn(7, 1, 8, 8)
    expected = result.model.eval()(images)
    for path in (place / "saved", place / "live"):
        loaded = autoprune.load(path, model=copy.deepcopy(fresh))
        assert torch.equal(loaded(images), expected)
        assert not loaded.training
    with pytest.raises(autoprune.errors.UsageError, match="model=MyNet"):
        autoprune.load(place / "saved")


def test_the_same_call_again_is_answered_from_the_run(live, place):
    model, _, data, result = live
    before = {path: path.read_bytes() for path in (place / "live").iterdir()}
    options = {"agent": "random", "evaluations": 5, "finetune_epochs": 1, "run": place / "live"}
    again = autoprune.search(model, data, "0.6flops, 0.7params", **options)
    assert again == result
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(again.model(images), result.model.eval()(images))
    assert {path: path.read_bytes() for path in (place / "live").iterdir()} == before
    changed = copy.deepcopy(model)
    nn.init.zeros_(changed.head.bias)
    with pytest.raises(autoprune.errors.UsageError, match="live"):
        autoprune.search(changed, data, "0.6flops, 0.7params", **options)


@pytest.mark.parametrize("agent", ["ddpg", "evolution"])
def test_the_result_does_not_depend_on_the_number_of_workers(capsys, place, agent):
    """The user's own network and task go to the processes and come back with the same numbers."""
    found = {}
    for workers in (1, 2):
        changes = {"agent": agent, "evaluations": 14, "workers": workers, "finetune-epochs": 1}
        result = search(capsys, f"{agent}-{workers}", **changes)
        journal = (place / f"{agent}-{workers}" / "evaluations.jsonl").read_bytes()
        accuracies = [result[name]["accuracy"] for name in ("base", "pruned", "recovered")]
        found[workers] = result["plan"], result["score"], accuracies, journal
    assert found[1] == found[2]


@pytest.mark.parametrize(
    ("keep", "least"),
    [(["conv1"], {"conv1": 8}), ({"conv?": 0.6}, {"conv1": 5, "conv2": 5})],
)
def test_layers_that_are_kept_stay_wide(keep, least, place):
    data, quick = own("mydata", "loaders"), {"finetune_epochs": 0, "keep": keep}
    searched = autoprune.search(trained(), data, "0.6flops", agent="dp", evaluations=3, **quick)
    for result in (searched, autoprune.apply(trained(), data, "0.6flops", **quick)):
        assert all(result.plan[name] >= count for name, count in least.items())
        assert result.finetuned.macs <= 0.6 * result.dense.macs


def test_only_the_layers_named_are_pruned(place):
    data = own("mydata", "loaders")
    result = autoprune.search(
        trained(), data, "0.9flops", agent="uniform", only=["conv2"], finetune_epochs=0
    )
    assert result.plan["conv1"] == 8 > result.plan["conv2"]
