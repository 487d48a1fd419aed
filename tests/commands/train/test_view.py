import json
from pathlib import Path

import pytest

from autoprune.commands.train.result import Trained
from autoprune.commands.train.view import trained_view
from autoprune.errors import DamagedError
from tests.showing import show


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
