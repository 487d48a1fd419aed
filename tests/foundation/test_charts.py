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
