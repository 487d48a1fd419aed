import json

from autoprune.commands.bench.result import Bench, Blame, PlanFigures, Reference, Row
from autoprune.commands.bench.view import bench_figure, bench_markdown, bench_view
from tests.showing import assert_explains_itself, show


def figures(**changes):
    facts = {"plan": "even", "bytes_before": 400, "bytes_after": 100, "ms_before": 8.0}
    facts |= {"ms_after": 2.5, "macs_before": 1000, "macs_after": 250}
    facts |= {"blame": (Blame("features.0", 1.1, 4.0, 0.25),)}
    return PlanFigures(**facts | changes)


def test_what_counts_as_met():
    aims = Reference(4.0, 3.2)
    assert figures().met(aims) == 2, "realised 0.8 is missed"
    assert figures(ms_after=2.0).met(aims) == 3
    assert figures(bytes_after=102).met(aims) == 1
    assert figures(bytes_after=100.5).met(aims) == 2, "rounded as published"
    assert figures(ms_after=2.0).met(None) == 1


def test_a_missed_aim_and_the_layers_to_blame_are_shown():
    row = Row("vgg19", 0.5, 64, "float32, channels last", figures(), (figures(),), Reference(5, 2))
    on = {"device": "cpu: some", "cores": 2, "threads": 1, "torch": "2"}
    bench = Bench((row,), on)
    facts = json.loads(json.dumps(bench.to_json()))
    assert_explains_itself(bench_figure(facts))
    for text in (bench_markdown(facts), show(bench_view(bench), 100)):
        words = " ".join(text.split())
        for word in ("5.0 missed", "2.0 met", "0.80", "features.0 (x1.1 of x4.0, 0.25 ms)"):
            assert word in words
