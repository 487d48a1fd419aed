"""Configurations: JSON, keys, directories, ranges."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.inspect.config import InspectConfig
from autoprune.commands.prune.config import PruneConfig
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.config import LARGEST_SEED
from autoprune.pipeline.config import SearchConfig

text = st.text(min_size=1, max_size=20)
configs = st.builds(
    SearchConfig,
    budget=text,
    model=text,
    weights=st.none() | text,
    data=text,
    agent=text,
    ranking=text,
    evaluations=st.integers(1, 10**6),
    finetune_epochs=st.integers(0, 10**4),
    align=st.integers(1, 64),
    seed=st.integers(0, LARGEST_SEED),
    run=st.none() | text,
    fresh=st.booleans(),
    json=st.booleans(),
    debug=st.booleans(),
)


@given(configs)
def test_json_round_trip_keeps_everything_but_presentation(config):
    plain = dataclasses.replace(config, run=None, fresh=False, json=False, debug=False)
    assert SearchConfig.from_json(config.to_json()) == plain


@given(configs)
def test_presentation_changes_neither_key_nor_generated_directory(config):
    plain = dataclasses.replace(config, fresh=False, json=False, debug=False)
    assert config.key == plain.key
    assert config.directory == plain.directory


@given(configs, configs)
def test_keys_differ_exactly_when_configurations_do(one, other):
    assert (one.key == other.key) == (one.to_json() == other.to_json())


def test_key_is_stable_across_versions():
    # Directories of existing runs are found by it: a field added later must not change it.
    assert SearchConfig(budget="0.5flops").key == "d2b173c3"
    assert InspectConfig().key != SearchConfig(budget="0.5flops").key


def test_every_field_that_is_not_presentation_is_written():
    task = {"score", "class_weights"}  # options of the task, which is written
    outside = {*task, "workers", "executor", "threads", "run", "fresh", "json", "debug"}
    names = {item.name for item in dataclasses.fields(SearchConfig)}
    assert SearchConfig(budget="0.5flops").to_json().keys() == names - outside


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"extra": 1}, "extra"),
        ({"json": True}, "json"),
        ({"evaluations": "100"}, "evaluations"),
        ({"evaluations": True}, "evaluations"),
        ({"evaluations": 1.5}, "evaluations"),
        ({"budget": None}, "budget"),
        ({"weights": 3}, "weights"),
        ({"data": ["digits"]}, "data"),
    ],
)
def test_other_fields_and_types_are_refused_by_name(change, named):
    data = {**SearchConfig(budget="0.5flops").to_json(), **change}
    with pytest.raises(DamagedError, match=named):
        SearchConfig.from_json(data)


def test_a_missing_required_field_is_refused_and_an_optional_one_takes_its_default():
    data = SearchConfig(budget="0.5flops").to_json()
    optional = {name: value for name, value in data.items() if name != "agent"}
    assert SearchConfig.from_json(optional) == SearchConfig(budget="0.5flops")
    with pytest.raises(DamagedError, match="budget"):
        SearchConfig.from_json({name: v for name, v in data.items() if name != "budget"})


@pytest.mark.parametrize("data", [None, [], "search", 3])
def test_anything_but_an_object_is_refused(data):
    with pytest.raises(DamagedError, match="configuration of search"):
        SearchConfig.from_json(data)


@pytest.mark.parametrize(
    ("field", "value"), [("evaluations", 0), ("finetune_epochs", -1), ("align", 0), ("seed", -1)]
)
def test_values_out_of_range_are_refused_with_their_option(field, value):
    with pytest.raises(UsageError, match=f"--{field.replace('_', '-')} must be at least"):
        SearchConfig(budget="0.5flops", **{field: value})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": LARGEST_SEED + 1}, "--seed must be at most"),
        ({"evaluations": 1.5}, "--evaluations must be a whole number"),
        ({"seed": True}, "--seed must be a whole number"),
        ({"run": ""}, "--run is empty"),
        ({"run": "x\udcff"}, "run is not text"),
        ({"workers": 2**64}, "--workers must be at most 256, not"),
    ],
)
def test_what_no_search_could_use_is_refused(changes, named):
    with pytest.raises(UsageError, match=named):
        SearchConfig(budget="0.5flops", **changes)


def test_the_default_network_goes_with_the_default_data_only():
    assert SearchConfig(budget="0.5flops").model == "digits-resnet"
    with pytest.raises(UsageError, match="--model"):
        SearchConfig(budget="0.5flops", data="pictures/")


@pytest.mark.parametrize(
    ("model", "budget", "expected"),
    [
        ("resnet20", "0.5flops", "search-resnet20-0.5flops-ddpg-"),
        ("nets/mynet.py:build", "60Mmacs, 0.3params", "search-mynet-build-60Mmacs-0.3params-ddpg-"),
        ("C:\\nets\\mynet.py:build", "1flops", "search-mynet-build-1flops-ddpg-"),
        ("../..", "/etc/passwd", "search-run-passwd-ddpg-"),
        ("nétwork ✓", "0.5flops", "search-n-twork-0.5flops-ddpg-"),
    ],
)
def test_generated_directories_are_plain_names_inside_logs(model, budget, expected):
    directory = SearchConfig(budget=budget, model=model).directory
    assert directory.parts[0] == "logs"
    assert len(directory.parts) == 2
    assert directory.name.startswith(expected)


def test_runs_of_earlier_versions_are_found_under_the_names_they_had(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = SearchConfig(budget="0.5flops")
    former = Path("logs") / "digits-resnet-0.5flops-d2b173c3"
    assert config.directory.name == "search-digits-resnet-0.5flops-ddpg-d2b173c3"
    former.mkdir(parents=True)
    assert config.directory == former
    config.directory.with_name("search-digits-resnet-0.5flops-ddpg-d2b173c3").mkdir()
    assert config.directory != former
    assert CompareConfig(budget="0.5flops").directory.name.startswith("compare-digits-resnet-0.5f")
    planned = PruneConfig(plan="plan.json").directory.name
    assert planned.startswith("prune-digits-resnet-plan-")
    ruled = PruneConfig(budget="0.5flops", heuristic="global").directory.name
    assert ruled.startswith("prune-digits-resnet-0.5flops-global-")


def test_the_chosen_directory_wins():
    assert str(SearchConfig(budget="0.5flops", run="somewhere/else").directory) == "somewhere/else"
