"""`autoprune prune`: one shot and rounds, at every granularity, resumed to the same bytes."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import autoprune
from autoprune.cli.main import main
from autoprune.cli.parse import parse
from autoprune.commands.prune import run as rounds_of
from autoprune.commands.prune.config import PruneConfig
from autoprune.commands.prune.run import run_prune
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.foundation import user_code as factories
from autoprune.foundation.progress import Silent
from autoprune.networks.weights import read_masks
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from tests import owncode
from tests.killing import Dies, Killed
from tests.pipeline.test_search import accuracy, own
from tests.synthetic import chain

FILES = {"model": "nets.py:build", "weights": "trained.pt", "data": "mydata.py:loaders"}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Work in a directory with a user's files and the network's weights."""
    place = tmp_path_factory.mktemp("schedules")
    owncode.write(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        torch.manual_seed(0)
        torch.save({"model": factories.load("nets.py:build")[0]().state_dict()}, "trained.pt")
        yield place


def words(run, budget, **changes):
    options = FILES | {"finetune-epochs": 1, "run": run, "budget": budget} | changes
    return ["prune", "--json", *(t for n, v in options.items() for t in (f"--{n}", str(v)))]


def prune(capsys, run, budget, **changes):
    assert main(words(run, budget, **changes)) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("granularity", "ranking"),
    [("channel", "regression"), ("channel", "l1"), ("weight", "l2"), ("1:4", "random")],
)
def test_rounds_only_ever_remove_and_end_on_the_budget(granularity, ranking, place, capsys):
    run = f"{granularity.replace(':', '-')}-{ranking}"
    options = {"granularity": granularity, "ranking": ranking}
    kept = []
    real = rounds_of.shrink

    def watched(session, model, plan, ranked):
        masks = session.units.masks(ranked, plan)
        slicer = Slicer(model, session.structure)
        kept.append(masks or slicer.masks(ranked.kept(plan)))
        return real(session, model, plan, ranked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds_of, "shrink", watched)
        result = prune(capsys, run, "0.5flops", schedule="iterative", steps=3, **options)
    assert len(kept) == len(result["rounds"]) == 3
    for before, after in pairwise(kept):
        assert any(not torch.equal(before[name], after[name]) for name in after)
        assert not any(bool((after[name] & ~before[name]).any()) for name in after)
    macs = [found["macs"] for found in result["rounds"]]
    assert macs == sorted(macs, reverse=True)
    for number, spent in enumerate(macs, 1):
        assert spent <= result["base"]["macs"] * 0.5 ** (number / 3)
    assert result["rounds"][-1]["plan"] == result["plan"]
    assert result["recovered"]["macs"] == macs[-1]
    # Uniform rounds of channels end where one shot does.
    once = prune(capsys, f"once-{run}", "0.5flops", **options)
    assert granularity != "channel" or once["plan"] == result["plan"]
    assert len(once["rounds"]) == 1
    stored = read_masks(Path(f"{run}/masks.safetensors"))
    assert all(torch.equal(stored[name], mask) for name, mask in kept[-1].items())
    model = autoprune.load(run)
    assert accuracy(model) == pytest.approx(result["recovered"]["accuracy"])


def words_of(path):
    """Words that a plot says; matplotlib draws text as paths and names it in comments."""
    return set(re.findall(r"<!-- (.*?) -->", Path(path).read_text()))


def test_the_result_has_the_fields_of_a_search(capsys):
    found = prune(capsys, "fields", "0.6params", heuristic="deeper-more", ranking="l2")
    arguments = [t for n, v in FILES.items() for t in (f"--{n}", v)]
    short = ["--agent", "uniform", "--finetune-epochs", "1", "--run", "search"]
    assert main(["search", "--json", "--budget", "0.6params", *arguments, *short]) == 0
    searched = json.loads(capsys.readouterr().out)
    assert found.keys() == searched.keys()
    assert (found["agent"], found["baseline"]) == ("deeper-more", None)
    assert main(["report", "--run", "fields", "--plot", "fields.svg"]) == 0
    assert {"rounds", "fine-tuned"} <= words_of("fields.svg")
    assert "one shot" in capsys.readouterr().out


def test_a_run_killed_between_rounds_ends_as_an_unbroken_one(place, capsys):
    options = {"schedule": "iterative", "steps": 3, "granularity": "weight"}
    prune(capsys, "unbroken", "0.4params", **options)
    broken = parse(words("broken", "0.4params", **options), [PruneConfig])
    with pytest.raises(Killed):
        run_prune(broken, Dies("finetune-3", 1))
    prune(capsys, "broken", "0.4params", **options)
    for name in ("model.safetensors", "masks.safetensors", "plan.json", "evaluations.jsonl"):
        assert (place / "broken" / name).read_bytes() == (place / "unbroken" / name).read_bytes()


def test_without_fine_tuning_nothing_is_trained(capsys):
    result = prune(capsys, "untuned", "0.5flops", **{"finetune-epochs": 0})
    assert result["pruned"]["accuracy"] == result["recovered"]["accuracy"]


def complaint(capsys, *arguments, code=2):
    known = [t for n, v in FILES.items() for t in (f"--{n}", v)]
    assert main(["prune", *known, *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = [line for line in err.splitlines() if line.startswith("autoprune: error")]
    return line


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        ("--budget 0.5flops --steps 3", "--steps 3 is not one shot", 2),
        ("--budget 0.5flops --schedule iterative --steps 0", "--steps must be at least 1", 2),
        ("--budget 0.5flops --schedule slowly", "slowly", 2),
        ("--budget 0.5flops --heuristic wider", "unknown heuristic 'wider'", 2),
        ("--budget 0.5flops --ranking l9", "unknown ranking 'l9'", 2),
        ("--budget 0.01flops", "cannot go below", 3),
        ("--budget 0.3flops --granularity 2:4", "cannot go below", 3),
        ("--schedule iterative", "--budget", 2),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, said, code, capsys):
    assert said in complaint(capsys, *arguments.split(), "--run", "bad", code=code)


# ---- the parts


def test_a_compact_network_expanded_is_the_masked_one():
    torch.manual_seed(3)
    model = own("nets", "build").eval()
    inputs = torch.randn(4, 1, 8, 8)
    structure = analyze(model, inputs)
    kept = rank(model, structure, "l1").kept(Plan.uniform(structure, 0.4))
    slicer = Slicer(model, structure)
    compact = slicer.build(kept)
    expanded = slicer.expand(compact, kept)
    assert torch.allclose(expanded(inputs), compact(inputs), atol=1e-5)
    for name, value in slicer.masked(kept).state_dict().items():
        assert torch.equal(expanded.state_dict()[name], value), name
    again = slicer.build(kept, dict(expanded.named_parameters()))
    assert all(torch.equal(v, compact.state_dict()[n]) for n, v in again.state_dict().items())


def test_parts_of_a_budget_prune_the_same_fraction_each_time():
    cost = CostModel(chain([64, 128, 96]))
    budget = Budget.parse("0.25macs,0.5params").bind(cost)
    dense = Plan.dense(cost.structure)
    half = budget.partial(0.5, dense)
    assert half.limits == {
        "macs": int(cost.macs.dense * (budget.limits["macs"] / cost.macs.dense) ** 0.5),
        "parameters": int(
            cost.parameters.dense * (budget.limits["parameters"] / cost.parameters.dense) ** 0.5
        ),
    }
    first = half.uniform()
    last = budget.partial(1.0, first)
    assert last.limits == budget.limits
    assert all(last.choices[i][-1] == count for i, count in enumerate(first.values()))
    assert last.uniform() == budget.uniform()


def test_a_plan_by_hand_is_carried_out(place, capsys):
    Path("by-hand.json").write_text('{"conv1": 0.5}')
    words = {**FILES, "finetune-epochs": 0, "run": "by-hand", "plan": "by-hand.json"}
    argv = ["prune", "--json", *(t for n, v in words.items() for t in (f"--{n}", str(v)))]
    assert main(argv) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["plan"] == {"conv1": 4, "conv2": 8} and result["agent"] == "plan by hand"
    assert "fine-tuned" not in result["files"]["model.safetensors"]
    # The plan that a run stores is a plan by hand, too, and leads to the same network.
    words |= {"run": "again", "plan": "by-hand/plan.json"}
    argv = ["prune", "--json", *(t for n, v in words.items() for t in (f"--{n}", str(v)))]
    assert main(argv) == 0
    files = [Path(run, "model.safetensors").read_bytes() for run in ("by-hand", "again")]
    assert files[0] == files[1]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ('{"conv9": 3}', "the network has no layer 'conv9' (did you mean conv"),
        ('{"conv1": 9}', "keeps 9 of the 8 units of 'conv1'"),
        ('{"conv1": 0}', "the plan keeps nothing of 'conv1' (only branches may go"),
        ('{"conv1": true}', "the plan keeps True of 'conv1'"),
        ('{"conv1": "4"}', "the plan keeps '4' of 'conv1'"),
        ("{}", "the plan names no layers"),
        ('{"conv1": 8}', "the plan does not meet 0.3flops: it costs 1 of the dense macs"),
        ("missing.json", "cannot read the plan: missing.json is missing"),
        (".", "cannot read the plan"),
    ],
)
def test_plans_that_make_no_sense_are_one_line(plan, message, place, capsys):
    words = {**FILES, "budget": "0.3flops", "plan": plan}
    assert main(["prune", *(t for n, v in words.items() for t in (f"--{n}", str(v)))]) in (2, 3)
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_plan_by_hand_below_what_is_to_stay_is_refused(place, capsys):
    words = {**FILES, "run": "floor", "plan": '{"conv1": 2}', "keep": "conv1=0.5"}
    assert main(["prune", *(t for n, v in words.items() for t in (f"--{n}", str(v)))]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "keeps 2 of the 8 units of 'conv1', and at least 4 are to stay" in said


def test_neither_budget_nor_plan_is_refused(place, capsys):
    assert main(["prune", "--model", "nets.py:build", "--data", "mydata.py:loaders"]) == 2
    assert "prune needs --budget or --plan" in capsys.readouterr().err


def test_gradual_rounds_share_one_fine_tuning_and_end_on_the_budget(place, capsys):
    options = {"schedule": "gradual", "steps": 4, "finetune-epochs": 6, "align": 1}
    result = prune(capsys, "gradual", "0.4params", **options)
    parameters = [found["parameters"] for found in result["rounds"]]
    assert len(parameters) == 4 and parameters == sorted(parameters, reverse=True)
    assert parameters[-1] <= 0.4 * result["base"]["parameters"] < parameters[0]
    assert result["finetune_epochs"] == 6


def test_a_killed_gradual_schedule_goes_on_to_the_same_bytes(place):
    options = {"budget": "0.4params", "schedule": "gradual", "steps": 3, "finetune_epochs": 4}
    options |= {"align": 1, **FILES}
    run_prune(PruneConfig(run="gradual-whole", **options), Silent())
    killed = PruneConfig(run="gradual-killed", **options)
    for phase in ("finetune-1", "finetune-3", "test"):
        with pytest.raises(Killed):
            run_prune(killed, Dies(phase, 1))
    run_prune(killed, Silent())
    for name in ("plan.json", "model.safetensors", "evaluations.jsonl"):
        one, other = (Path(run) / name for run in ("gradual-killed", "gradual-whole"))
        if name == "evaluations.jsonl":  # its first line says whose journal it is
            assert one.read_text().count("round") == other.read_text().count("round") == 3
        else:
            assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"finetune-epochs": 0, "schedule": "gradual"}, "--schedule gradual prunes while it"),
        ({"steps": 3}, "add --schedule iterative or gradual"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_one_line(given, said, place, capsys):
    assert main(words("never", "0.5params", **given)) == 2
    assert said in " ".join(capsys.readouterr().err.split())
