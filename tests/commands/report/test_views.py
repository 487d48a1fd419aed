import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from autoprune.commands.inspect.result import Inspection
from autoprune.commands.inspect.view import inspect_view
from autoprune.commands.train.result import Trained
from autoprune.commands.train.view import trained_view
from autoprune.cost.polynomial import CostModel
from autoprune.errors import DamagedError
from autoprune.foundation.tables import count, size
from autoprune.pipeline.view import result_view
from autoprune.structure.table import Pinned
from tests.pipeline.test_result import example
from tests.synthetic import residual


def show(view, width=80, **options):
    console = Console(width=width, record=True, file=None, quiet=False, **options)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def inspection(structure, model="net"):
    return Inspection.of(structure, model=model, data="digits")


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
    result = example(baseline=None, base=dataclasses.replace(example().base, latency_ms=None))
    text = show(result_view(result))
    assert "uniform" not in text
    assert "latency" not in text


def test_what_else_a_task_counts_stands_below_its_score():
    states = {"base": 0.01, "pruned": 0.25, "recovered": 0.03}
    measures = {
        name: dataclasses.replace(getattr(example(), name), other={"character error rate": rate})
        for name, rate in states.items()
    }
    text = " ".join(show(result_view(example(baseline=None, **measures))).split())
    assert re.search(r"character error rate.* 1\.00 % 25\.00 % 3\.00 % \+2\.00", text)


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width):
    structure = dataclasses.replace(
        residual([8, 12], 16), pinned=(Pinned("fc", 10, "model output"),)
    )
    for view in (result_view(example()), inspect_view(inspection(structure))):
        assert max(len(line) for line in show(view, width).splitlines()) <= width


def test_eighty_columns_cut_nothing():
    assert "…" not in show(result_view(example()))
    assert "…" not in show(inspect_view(inspection(residual([8, 12], 16))))


def test_names_are_shown_as_they_are_not_as_markup():
    plan = example().groups
    odd = dataclasses.replace(plan[0], name="[red]layer[/red]")
    assert "[red]layer[/red]" in show(result_view(example(groups=(odd, plan[1]))))
    assert "[bold]net" in show(inspect_view(inspection(residual([8, 12], 16), "[bold]net")))


def test_no_color_and_no_unicode_are_fine():
    text = show(result_view(example()), no_color=True)
    assert "\x1b[3" not in text
    assert "layer1.0.conv1" in text


def test_inspection_agrees_with_the_cost_model():
    structure = residual([8, 12], 16)
    cost, facts = CostModel(structure), inspection(structure).to_json()
    assert facts["macs"] == cost.macs(structure.sizes)
    assert facts["flops"] == 2 * facts["macs"]
    assert facts["parameters"] == cost.parameters(structure.sizes)
    assert facts["bytes"] == cost.bytes(structure.sizes)
    assert [(g["name"], g["size"]) for g in facts["groups"]] == list(structure.sizes.items())
    for group, share in zip(facts["groups"], cost.macs.shares, strict=True):
        without = cost.macs({**structure.sizes, group["name"]: 0})
        assert group["macs_share"] == pytest.approx(1 - without / facts["macs"], abs=1e-6)
        assert group["macs_share"] == pytest.approx(share, abs=1e-6)


def test_inspection_says_what_is_pinned_and_why():
    pinned = (
        Pinned("fc", 10, "model output"),
        Pinned("input", 3, "model input"),
        Pinned("head", 4, "model output"),
    )
    text = show(inspect_view(inspection(dataclasses.replace(residual([8, 12], 16), pinned=pinned))))
    assert re.search(r"fc \(10\), head \(4\) +model output", text)
    assert re.search(r"input \(3\) +model input", text)


@given(st.floats(1, 1e15))
def test_counts_keep_three_digits(value):
    number, *unit = count(value).split()
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit[0]] if unit else 1
    assert float(number) * factor == pytest.approx(value, rel=0.006)
    assert len(number) <= 7


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (312_000, "312 kB"), (999_999, "1.00 MB")],
)
def test_sizes(value, shown):
    assert size(value) == shown


def trained(**changes):
    facts = {
        "command": "train", "network": "ocrnet", "data": "ocr-lines", "metric": "sequence accuracy",
        "accuracy": 0.919, "before": None, "validation": 0.9167, "loss": 0.05, "epochs": 3,
        "steps": 2025, "seconds": 401.0, "seed": 4, "macs": 69_460_000, "parameters": 607_487,
        "bytes": 2_430_000, "run": Path("logs/x"), "other": {"character error rate": 0.017},
        "task": "ctc",
    }  # fmt: skip
    return Trained(**facts | changes)


def test_a_training_shows_every_figure_and_what_to_do_with_it():
    text = " ".join(show(trained_view(trained())).split())
    for figure in (
        "ocrnet on ocr-lines", "3 epochs (2,025 steps) in 6 min 41 s, seed 4", "sequence accuracy",
        "91.90 %", "character error rate 1.70 %", "91.67 %", "69.5 M", "607 k", "2.43 MB",
        "logs/x", "autoprune search --budget 0.5flops --model ocrnet",
        "--task ctc",
    ):  # fmt: skip
        assert figure in text
    assert "before" not in text
    tuned = show(trained_view(trained(command="finetune", before=0.5)))
    assert "50.00 %" in tuned and "autoprune search" not in tuned


def test_a_training_reads_back_what_it_wrote():
    result = trained(before=0.25, warnings=("something",))
    assert Trained.from_json(json.loads(json.dumps(result.to_json()))) == result
    with pytest.raises(DamagedError, match="not a result this version knows"):
        Trained.from_json({"format": 9})
