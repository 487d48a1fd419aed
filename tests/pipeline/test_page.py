"""The page of a run: its numbers are the result's, and anybody can read it anywhere."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import autoprune
from autoprune.foundation.page import REPORT
from autoprune.pipeline.page import Facts, result_page
from autoprune.pipeline.result import GroupKeep, Reference, Round
from autoprune.structure.plan import Plan
from autoprune.structure.table import Pinned
from tests.browser import assert_readable, fetched, look, shade
from tests.owncode import DATA, NETS
from tests.pipeline.test_result import example

NOTHING = Facts(200, (), (), {}, data_seen=True, asked={})
HOSTILE = "</td><script>alert('x')</script><img src=x onerror=alert(1)>&amp;"
UNITS = {"k": 1e3, "M": 1e6, "G": 1e9}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Directory of a search of six evaluations."""
    run, nets, data = tmp_path_factory.mktemp("runs") / "run", {}, {}
    exec(NETS, nets)
    exec(DATA, data)
    autoprune.search(
        *(nets["wide"](), data["loaders"](), "0.5flops"),
        **{"agent": "random", "evaluations": 6, "finetune_epochs": 1},
        **{"run": run, "progress": False},
    )
    return run


class Texts(HTMLParser):
    """Tags of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def number(text):
    """Value of a figure as it is written, and half of its last digit."""
    digits, factor = re.match(r"[\d.]+", text)[0], 0.01 if "%" in text else 1.0
    unit = re.search(r" ([kMG])B?$", text)
    factor *= UNITS[unit[1]] if unit else 1.0
    places = len(digits.partition(".")[2])
    return float(digits) * factor, 0.5001 * 10**-places * factor


def stored(result, key):
    for name in key.split("."):
        result = result["accuracy" if name == "score" else name]
    return result


def test_every_number_in_the_browser_is_the_results(run, tmp_path):
    text, result = (run / REPORT).read_text(), json.loads((run / "result.json").read_text())
    seen = look(text, tmp_path)
    assert_readable(seen)
    kept = {group["name"]: group["kept"] for group in result["groups"]}
    for page in seen.values():
        values = dict(page["values"])
        assert {name: values.pop(f"kept:{name}") for name in kept} == {
            name: str(count) for name, count in kept.items()
        }
        assert len(values) >= 4 * 5
        for key, written in values.items():
            value, slack = number(written)
            assert abs(value - stored(result, key)) <= slack, key
        search, pareto = page["charts"]
        assert search["dots"] == 6
        assert search["key"] == ["evaluated plan", "best so far", "uniform", "dense"]
        assert {"loss, search split", "evaluation"} <= set(search["texts"])
        assert pareto["dots"] + sum("of dense" in text for text in pareto["texts"]) >= 5
    assert shade(seen[400]["background"]) > 0.9 and shade(seen[400]["ink"]) < 0.2


def test_a_dark_screen_gets_a_dark_page(run, tmp_path):
    seen = look((run / REPORT).read_text(), tmp_path, dark=True)
    assert_readable(seen)
    assert shade(seen[400]["background"]) < 0.15 and shade(seen[400]["ink"]) > 0.8


def test_references_are_the_dense_and_the_uniform_networks_on_the_search_split(run):
    result = autoprune.Result.from_json(json.loads((run / "result.json").read_text()))
    assert result.references.keys() == {"dense", "uniform"}
    dense, uniform = result.references["dense"], result.references["uniform"]
    assert 0 <= uniform.score <= 1 and dense.loss != uniform.loss
    assert all(group.error is not None and group.error >= 0 for group in result.groups)
    assert any(group.error > 0 for group in result.groups)


def test_a_page_loads_nothing_and_is_small(run):
    text = (run / REPORT).read_text()
    assert fetched(text) == [] and "<script" not in text and "://" not in text
    assert len(text.encode()) < 100_000


def test_names_of_strangers_stay_text():
    result = example(
        network=HOSTILE,
        data=HOSTILE,
        agent=HOSTILE,
        metric=HOSTILE,
        warnings=(HOSTILE,),
        files={HOSTILE: HOSTILE},
        groups=(GroupKeep(HOSTILE, HOSTILE, 16, 8, 0.25),),
    )
    pinned = (Pinned(HOSTILE, 3, HOSTILE),)
    facts = replace(NOTHING, pinned=pinned, asked={HOSTILE: HOSTILE})
    page, harmless = Texts(result_page(result, facts)), Texts(result_page(example(), NOTHING))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in harmless.tags}
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.text.count(HOSTILE) >= 9


def record(number, loss, **more):
    return {"evaluation": number, "loss": loss, "score": 0.5, "failed": False, **more}


def test_three_bad_plans_do_not_squash_the_others():
    losses = [0.3 + 0.01 * n for n in range(20)] + [90.0, 400.0, 1000.0]
    records = [record(n, loss) for n, loss in enumerate(losses, 1)]
    records.append(record(24, 0.2, doubt=0.01))  # given up: it is not the best
    records.append(record(25, 1e6, failed=True))
    references = {"dense": Reference(0.9, 0.1), "uniform": Reference(0.8, 0.4)}
    page = result_page(example(references=references), replace(NOTHING, records=records))
    assert "3 above the picture" in page and "given up on the way" in page
    best = re.search(r'class="line c0" d="M[\d.]+ ([\d.]+)', page)[1]
    tall = [float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)h0", page)]
    assert max(tall) - min(tall[:20]) > 80, "the good plans fill the picture"
    assert float(best) == max(tall[:20])


def test_what_is_gone_held_or_without_figures_is_said():
    groups = (
        GroupKeep("block", "branch", 1, 0, 0.2, 0.5),
        GroupKeep("other", "branch", 1, 1, 0.2, 0.0),
        GroupKeep("stem", "conv", 8, 4, 0.0, 0.0),
        GroupKeep("head", "linear", 8, 8, 0.5, 0.0),
    )
    result = example(groups=groups, plan=Plan.of({}), evaluations=0, baseline=None)
    rounds = tuple(Round(Plan.of({}), 10, 10, score, score) for score in (0.5, 0.6))
    facts = replace(NOTHING, samples=None, floors={"stem": 4}, data_seen=False)
    page = Texts(result_page(replace(result, rounds=rounds), facts)).text
    assert "gone as a whole" in page and "held by --keep" in page and "Rounds" in page
    assert "No intervals" in page and "95 % interval" not in page
    assert "other" not in re.findall(r"\w+", page.split("Plan")[-1].split("Files")[0])


def test_a_page_of_a_thousand_layers_and_ten_thousand_plans_stays_small(tmp_path):
    groups = tuple(GroupKeep(f"layers.{n}.attention.query", "linear", 512, n % 512, 0.001, 0.1)
                   for n in range(3000))  # fmt: skip
    records = [record(n, 0.3 + 0.001 * (n % 100)) for n in range(1, 10_001)]
    facts = replace(NOTHING, records=records)
    text = result_page(example(groups=groups), facts)
    assert len(text.encode()) < 1_000_000
    assert "The first 1000 of 3000 rows" in text


def test_names_of_any_length_fit_a_telephone(tmp_path):
    long = "encoder_" * 40
    groups = (GroupKeep(long, "conv", 512, 0, 0.5, 0.1), GroupKeep("b", "branch", 1, 0, 0.5, 0.1))
    result = example(network=long, data=long, groups=groups, files={long: long}, warnings=(long,))
    pinned = (Pinned(long, 3, long),)
    page = result_page(result, replace(NOTHING, pinned=pinned, asked={"model": long}))
    assert_readable(look(page, tmp_path))
