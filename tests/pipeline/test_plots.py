"""Trials of a result as a table, its pictures, and what a notebook shows."""

import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import autoprune
from autoprune.errors import UsageError
from autoprune.pipeline.plots import front, measured
from tests.owncode import DATA, NETS
from tests.pipeline.test_result import example
from tests.showing import assert_explains_itself


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A search of five evaluations."""
    run, nets, data = tmp_path_factory.mktemp("runs") / "run", {}, {}
    exec(NETS, nets)
    exec(DATA, data)
    return autoprune.search(
        *(nets["wide"](), data["loaders"](), "0.5flops"),
        **{"agent": "random", "evaluations": 5, "finetune_epochs": 1},
        **{"run": run, "progress": False},
    )


def test_trials_are_the_evaluations_as_a_table_or_as_records(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    records = result.trials
    assert [one["number"] for one in records] == [1, 2, 3, 4, 5]
    units = {f"units_{name}" for name in result.plan}
    assert records[0].keys() == {"number", "score", "loss", "failed"} | units
    assert result.score in [one["score"] for one in records]
    monkeypatch.undo()
    pandas = pytest.importorskip("pandas", reason="no pandas: pip install 'autoprune[pandas]'")
    table = result.trials
    assert isinstance(table, pandas.DataFrame) and table.to_dict("records") == records


def test_pictures_show_every_evaluation_every_group_and_every_network(result):
    for figure in (result.plot_search(), result.plot_plan(), result.plot_pareto()):
        assert_explains_itself(figure)
    (search,) = result.plot_search().axes
    drawn = [tuple(point) for point in search.collections[0].get_offsets()]
    assert drawn == [(one["number"], one["loss"]) for one in records(result)]
    levels = [
        line.get_ydata()[0] for line in search.lines if line.get_label() in ("uniform", "dense")
    ]
    assert levels == [result.references[name].loss for name in ("uniform", "dense")]
    low, high = search.get_ylim()
    assert all(low < level < high for level in levels)
    (plan,) = result.plot_plan().axes
    kept = [bar.get_width() for bar in plan.containers[1]][::-1]
    assert kept == pytest.approx([100 * group.kept / group.size for group in result.groups])
    (pareto,) = result.plot_pareto().axes
    points = [tuple(one.get_offsets()[0]) for one in pareto.collections]
    assert points == [(100 * x, 100 * y) for x, y in measured(result).values()]
    assert measured(result)["dense"] == (1.0, result.dense.score) and len(points) >= 3


def records(result):
    trials = result.trials
    return trials if isinstance(trials, list) else trials.to_dict("records")


def test_a_run_that_is_gone_is_said_to_be(tmp_path):
    gone = replace(example(), run=tmp_path / "gone")
    with pytest.raises(UsageError, match="is not there"):
        gone.trials  # noqa: B018
    with pytest.raises(UsageError, match="is not there"):
        gone.plot_search()
    assert gone.plot_plan().axes


def test_a_notebook_shows_the_table_and_repr_is_a_line():
    html = example()._repr_html_()
    assert html.startswith("<pre") and "layer1.0.conv1" in html and "97.00 %" in html
    assert repr(example()).count("\n") == 0 and len(repr(example())) < 120
    assert "<script" not in replace(example(), network="<script>")._repr_html_()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_nothing_beats_the_front(points):
    best = front(points)
    for cost, score in points:
        assert any(a <= cost and b >= score for a, b in best)
    for one in best:
        assert not any(
            other != one and other[0] <= one[0] and other[1] >= one[1] for other in points
        )
