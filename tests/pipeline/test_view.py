import dataclasses
import re

from autoprune.pipeline.view import result_view
from tests.pipeline.test_result import example
from tests.showing import show


def test_a_result_shows_every_figure_once_rounded():
    text = show(result_view(example()))
    for figure in (
        "digits-resnet", "0.5flops", "ddpg + regression", "100 evaluations", "1 min 21 s",
        "98.00 %", "60.00 %", "97.00 %", "-1.00", "uniform + l1",
        "3.40 M", "1.70 M", "6.80 M", "50.0 %", "77.1 k", "41.0 k", "53.2 %", "312 kB", "166 kB",
        "0.40 ms", "0.30 ms", "75.0 %",
        "layer1.0.conv1", "19 %", "25.0 %",
        "warning: something to know", 'autoprune.load("logs/digits-resnet")',
        "tensorboard --logdir logs", "plan.json",
    ):  # fmt: skip
        assert figure in text


def test_a_result_without_baseline_or_latency_leaves_them_out():
    result = example(baseline=None, dense=dataclasses.replace(example().dense, latency_ms=None))
    text = show(result_view(result))
    assert "uniform" not in text
    assert "latency" not in text


def test_what_else_a_task_counts_stands_below_its_score():
    states = {"dense": 0.01, "pruned": 0.25, "finetuned": 0.03}
    measures = {
        name: dataclasses.replace(getattr(example(), name), other={"character error rate": rate})
        for name, rate in states.items()
    }
    text = " ".join(show(result_view(example(baseline=None, **measures))).split())
    assert re.search(r"character error rate.* 1\.00 % 25\.00 % 3\.00 % \+2\.00", text)


def test_no_color_and_no_unicode_are_fine():
    text = show(result_view(example()), no_color=True)
    assert "\x1b[3" not in text
    assert "layer1.0.conv1" in text
