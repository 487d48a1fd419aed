"""Plug-ins of installed packages: found by name, usable on the command line, broken ones named."""

import json
import sys

import pytest

from autoprune.agents.registry import SEARCHERS, searcher
from autoprune.cli.main import main
from autoprune.data.named_task import resolve_task
from autoprune.envs.rewards import find_reward
from autoprune.errors import UsageError
from autoprune.foundation import plugins
from autoprune.problem.evaluation import Evaluation
from autoprune.ranking.registry import find_ranking
from tests import owncode
from tests.plugged import BROKEN, GOOD, install


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A sound package and a broken one, first on the path."""
    place = tmp_path / "site"
    place.mkdir()
    install(
        place,
        "good-plugins",
        GOOD,
        searchers={"smallest": "Smallest", "rewarded": "Rewarded", "ddpg": "Smallest"},
        rankings={"last-first": "last_first"},
        rewards={"frugal": "frugal"},
        tasks={"top": "Top", "number": "number"},
    )
    install(place, "broken-plugins", BROKEN, searchers={"never": "Never"}, tasks={"lost": "Never"})
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("good_plugins", "broken_plugins"):
        sys.modules.pop(name, None)


def test_nothing_is_imported_before_it_is_named(packages):
    assert set(plugins.installed("searchers")) == {"smallest", "rewarded", "ddpg", "never"}
    assert plugins.installed("searchers")["never"].package == "broken-plugins"
    assert not {"good_plugins", "broken_plugins"} & set(sys.modules)
    assert type(searcher("smallest")).__name__ == "Smallest"
    assert "broken_plugins" not in sys.modules


def test_names_of_ours_stay_ours(packages):
    assert type(searcher("ddpg")).__name__ == "DDPGSearcher"
    assert "ddpg" in SEARCHERS


def test_every_kind_is_found_by_name(packages):
    assert find_reward("frugal")(Evaluation(0.5, 2.0)) == -2.0
    assert find_ranking("last-first").load().__name__ == "last_first"
    assert resolve_task("top").name == "top"


@pytest.mark.parametrize("call", [lambda: searcher("never"), lambda: resolve_task("lost")])
def test_a_plugin_that_cannot_be_imported_is_named_with_its_package(packages, call):
    with pytest.raises(UsageError, match="of package broken-plugins cannot be imported") as error:
        call()
    assert "a_package_that_nobody_has" in str(error.value)
    assert searcher("smallest")


def test_what_is_no_task_is_refused(packages):
    with pytest.raises(UsageError, match="int is not a task"):
        resolve_task("number")


def test_doctor_lists_plugins_and_names_the_broken_one(packages, capsys):
    assert main(["doctor", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    found = {check["name"]: check for check in checks if check["topic"] == "plug-ins"}
    assert found["searcher smallest"]["status"] == "ok"
    assert found["searcher smallest"]["found"] == "of good-plugins"
    assert {"ranking last-first", "reward frugal", "task top"} <= set(found)
    broken = found["searcher never"]
    assert broken["status"] == "absent" and "broken-plugins" in broken["found"]
    assert "a_package_that_nobody" in broken["found"] and broken["advice"]


def test_plugins_are_used_on_the_command_line(packages, capsys):
    owncode.write(packages)
    options = {
        "budget": "0.5flops",
        "model": "nets.py:build",
        "weights": "build.safetensors",
        "data": "mydata.py:loaders",
        "agent": "rewarded",
        "ranking": "last-first",
        "reward": "frugal",
        "task": "top",
        "finetune-epochs": "0",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert main(["search", "--json", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    asked = [result[name] for name in ("agent", "ranking", "metric", "evaluations")]
    assert asked == ["rewarded", "last-first", "top score", 1]
    assert main(["search", "--json", *words[:8], "--agent", "never"]) != 0
    assert "broken-plugins" in json.loads(capsys.readouterr().out)["error"]


def test_names_of_objects_follow_their_code_and_their_attributes():
    class Sized:
        def __init__(self, size, other=None):
            self.size, self.other = size, other

    class Other:
        pass

    names = [Sized(1), Sized(1), Sized(2), Sized(1, object()), Sized(1, object()), Other()]
    first, same, larger, one, another, other = map(plugins.name_of, names)
    assert first == same and len({first, larger, other}) == 3
    assert one == another  # what is no plain value has no stable name

    def adding(number):
        return lambda x: x + number

    assert plugins.name_of(adding(1)) == plugins.name_of(adding(1)) != plugins.name_of(adding(2))
