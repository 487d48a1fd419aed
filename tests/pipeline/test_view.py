import dataclasses
import re

from autoprune.pipeline.speeds import Speed
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


def test_speeds_stand_by_backend_and_batch():
    speeds = (
        Speed("onnxruntime 1.0", 64, 0.4, 0.5, 1.25, 1.2, 1.3),
        Speed("torch", 1, 2.0, 1.0, 0.5, 0.5, 0.5),
    )
    text = " ".join(show(result_view(example(speeds=speeds))).split())
    assert "onnxruntime 1.0 64 0.40 ms 0.50 ms 125.0 %" in text
    assert "torch 1 2.00 ms 1.00 ms 50.0 %" in text


def test_a_warning_names_where_fewer_macs_are_slower_and_what_to_pass():
    slow = Speed("onnxruntime 1.0", 64, 0.4, 0.5, 1.25, 1.2, 1.3)
    unsure = Speed("torch", 1, 2.0, 2.1, 1.05, 0.9, 1.2)
    odd = example(speeds=(slow, unsure))
    (text,) = odd.slower
    assert "onnxruntime 1.0 at batch 64 (1.25)" in text and "torch" not in text
    assert "--align 8" in text and "--align 8" in show(result_view(odd))
    even = tuple(dataclasses.replace(group, kept=8) for group in odd.groups)
    (text,) = dataclasses.replace(odd, groups=even).slower
    assert "--budget 0.5latency --backend onnxruntime" in text
    assert example(speeds=(unsure,)).slower == []
    assert dataclasses.replace(odd, finetuned=odd.dense).slower == []


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
