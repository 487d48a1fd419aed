import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autoprune.errors import DamagedError
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Baseline, GroupKeep, Measure, Result
from autoprune.runs.run import Run
from autoprune.structure.plan import Plan

finite = st.floats(allow_nan=False, allow_infinity=False)
amounts = st.integers(0, 2**60)
names = st.text(min_size=1, max_size=12)
measures = st.builds(Measure, finite, amounts, amounts, amounts, st.none() | finite)
plans = st.dictionaries(names, st.integers(1, 512), max_size=4).map(Plan.of)
results = st.builds(
    Result,
    dense=measures,
    pruned=measures,
    finetuned=measures,
    budget=names,
    plan=plans,
    groups=st.lists(st.builds(GroupKeep, names, names, amounts, amounts, finite), max_size=3).map(
        tuple
    ),
    evaluations=amounts,
    seconds=finite,
    seed=amounts,
    agent=names,
    ranking=names,
    network=names,
    data=names,
    score=finite,
    run=st.just(Path("logs/x")),
    baseline=st.none() | st.builds(Baseline, names, measures, measures),
    files=st.dictionaries(names, names, max_size=2),
    warnings=st.lists(names, max_size=2).map(tuple),
)


def example(**changes) -> Result:
    """A result as a search returns it."""
    base, pruned = (
        Measure(0.98, 3_400_000, 77_130, 312_000, 0.4),
        Measure(0.6, 1_700_000, 41_000, 166_000),
    )
    result = Result(
        dense=base,
        pruned=pruned,
        finetuned=dataclasses.replace(pruned, score=0.97, latency_ms=0.3),
        budget="0.5flops",
        plan=Plan.of({"conv1": 8, "layer1.0.conv1": 3}),
        groups=(
            GroupKeep("conv1", "conv", 16, 8, 0.25),
            GroupKeep("layer1.0.conv1", "conv", 16, 3, 0.5),
        ),
        evaluations=100,
        seconds=81.3,
        seed=0,
        agent="ddpg",
        ranking="regression",
        network="digits-resnet",
        data="digits",
        score=0.95,
        run=Path("logs/digits-resnet"),
        baseline=Baseline("uniform + l1", pruned, base),
        files={"plan.json": "units kept per group"},
        warnings=("something to know",),
    )
    return dataclasses.replace(result, **changes)


@given(results)
def test_json_round_trip(result):
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_json_has_what_other_programs_rely_on():
    data = example().to_json()
    for state in ("base", "pruned", "recovered"):
        assert data[state].keys() >= {"accuracy", "macs", "parameters", "bytes", "latency_ms"}
    assert data["plan"] == {"conv1": 8, "layer1.0.conv1": 3}
    assert (data["format"], data["budget"], data["seed"]) == (1, "0.5flops", 0)
    assert (data["evaluations"], data["seconds"]) == (100, 81.3)


def test_the_network_itself_is_neither_written_nor_compared():
    result = example(model=nn.Linear(2, 2))
    assert result == example()
    assert result.to_json() == example().to_json()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 2),
        (("unknown",), 1),
        (("plan",), {"conv1": -1}),
        (("plan",), [["conv1", 8]]),
        (("base",), None),
        (("base", "accuracy"), "1.0"),
        (("base", "extra"), 1),
        (("baseline", "pruned", "macs"), 1.5),
        (("groups",), {"conv1": 8}),
        (("groups", 0, "kept"), None),
        (("files",), ["plan.json"]),
        (("warnings",), [1]),
        (("run",), 3),
    ],
)
def test_anything_else_is_refused(place, value):
    data = example().to_json()
    *outer, last = place
    inner = data
    for step in outer:
        inner = inner[step]
    inner[last] = value
    with pytest.raises(DamagedError):
        Result.from_json(data)


def test_flops_are_twice_the_macs():
    assert example().dense.flops == 6_800_000


def test_saving_copies_what_was_published(tmp_path):
    with Run(tmp_path / "run", SearchConfig(budget="0.5flops")) as run:
        result = example(run=run.path)
        run.publish_json("plan.json", result.plan.to_json())
        run.publish_json("result.json", result.to_json())
    result.save(tmp_path / "kept")
    for name in ("config.json", "plan.json", "result.json"):
        assert (tmp_path / "kept" / name).read_bytes() == (run.path / name).read_bytes()
    (run.path / "plan.json").write_text("{}")
    with pytest.raises(DamagedError, match=r"plan\.json"):
        result.save(tmp_path / "again")


def test_a_result_that_is_no_number_is_not_written(tmp_path):
    bad = example(score=math.nan)
    with (
        Run(tmp_path, SearchConfig(budget="0.5flops")) as run,
        pytest.raises(ValueError, match="JSON"),
    ):
        run.publish_json("result.json", bad.to_json())


@given(result=results)
def test_names_in_the_file_are_names_in_python(result):
    stored = result.to_json()
    for name in ("base", "pruned", "recovered"):
        assert getattr(result, name).accuracy == stored[name]["accuracy"]
    assert result.base is result.dense and result.recovered is result.finetuned
