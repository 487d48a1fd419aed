"""Plots."""

from autoprune.foundation import charts
from autoprune.foundation.charts import Curve


def picture(path):
    figure, (left, right) = charts.canvas(columns=2)
    curve = Curve([1, 2, 3], [0.1, 0.4, 0.5], [0.0, 0.3, 0.4], [0.2, 0.5, 0.6])
    charts.draw_curves(left, {"dp": curve, "ddpg": Curve([1, 2], [0.2, 0.3])}, markers=True)
    charts.draw_bars(right, ["vgg19", "resnet20"], {"ours": [4.1, 2.0], "theirs": [4.0, 1.9]})
    charts.save(figure, path)
    return left, right


def test_the_same_plot_is_the_same_file(tmp_path):
    for kind in ("png", "svg"):
        picture(tmp_path / f"one.{kind}")
        picture(tmp_path / f"two.{kind}")
        one = (tmp_path / f"one.{kind}").read_bytes()
        assert one == (tmp_path / f"two.{kind}").read_bytes()
        assert len(one) > 1000


def test_error_bars_reach_from_low_to_high(tmp_path):
    left, _ = picture(tmp_path / "plot.svg")
    (bars,) = left.containers
    (segments,) = (lines.get_segments() for lines in bars[2])
    assert [tuple(round(float(y), 6) for _, y in ends) for ends in segments] == [
        (0.0, 0.2),
        (0.3, 0.5),
        (0.4, 0.6),
    ]


def test_bars_of_a_label_stand_beside_each_other_around_it(tmp_path):
    _, right = picture(tmp_path / "plot.svg")
    ours, theirs = (list(container) for container in right.containers)
    for at, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        middles = [bar.get_x() + bar.get_width() / 2 for bar in (one, other)]
        assert abs(sum(middles) / 2 - at) < 1e-9
        assert one.get_x() + one.get_width() <= other.get_x() + 1e-9
    assert {text.get_text() for text in right.texts} == {"4.1", "2", "4", "1.9"}


def test_error_bars_of_several_curves_stand_beside_each_other():
    _, (left, right) = charts.canvas(columns=2)
    curve = Curve([1, 10, 100], [1, 2, 3], [0, 1, 2], [2, 3, 4])
    for axes, log in ((left, False), (right, True)):
        charts.draw_curves(axes, {"a": curve, "b": curve, "c": curve}, markers=True, log=log)
        places = {float(bars[0].get_xdata()[1]) for bars in axes.containers}
        assert len(places) == 3 and all(abs(x - 10) < 3 for x in places)


def test_a_mean_of_equal_values_may_lie_outside_them():
    _, (axes,) = charts.canvas()
    off = 0.1 + 0.2  # above 0.3
    charts.draw_curves(axes, {"a": Curve([1], [off], [0.3], [0.3])}, markers=True)


def test_bad_plans_are_counted_at_the_edge_and_squash_nothing():
    _, (axes,) = charts.canvas()
    losses = [*(0.3 + 0.004 * n for n in range(11)), 70.0, 900.0]
    plans = {"plan": (range(13), losses, 5)}
    charts.draw_points(axes, plans, low_is_bad=False, levels={"dense": (0.1, charts.DENSE)})
    low, high = axes.get_ylim()
    assert low < 0.1 and 0.34 < high < 0.4
    assert "2 above the picture" in axes.get_legend_handles_labels()[1]
    _, (axes,) = charts.canvas()
    scores = [-loss for loss in losses]
    charts.draw_points(axes, {"plan": (range(13), scores, 5)}, low_is_bad=True)
    assert "2 below the picture" in axes.get_legend_handles_labels()[1]


def test_a_searcher_has_one_color_and_strangers_another():
    colors = charts.colors_of(["mine", "ddpg", "uniform", "theirs"])
    assert colors["ddpg"] == charts.colors_of(["ddpg"])["ddpg"]
    assert len(set(colors.values())) == 4 and charts.DENSE not in colors.values()
    assert len(charts.colors_of([f"own{n}" for n in range(20)])) == 20
