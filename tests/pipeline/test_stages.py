"""Stages around the search: what fine-tuning delivers."""

import torch

from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.pipeline.tuning import Tuning
from autoprune.training.config import FitConfig

QUICK = FitConfig(epochs=4, batch_size=64)


def searched(path, finetuning, **options):
    asked = {"agent": "uniform", "finetune_epochs": 2, "workers": 1, **options}
    config = SearchConfig(budget="0.5flops", run=str(path), **asked)
    return run_search(config, Silent(), Tuning(training=QUICK, finetuning=finetuning))


def test_a_fine_tuning_that_harms_is_not_delivered_and_said_to(tmp_path):
    harmful = FitConfig(learning_rate=30.0, batch_size=64, schedule="constant")
    result = searched(tmp_path / "run", harmful)
    assert result.finetuned.score == result.pruned.score > 0.5
    assert any(text.startswith("fine-tuning did not help") for text in result.warnings)
    assert any(text.startswith("fine-tuning of the baseline") for text in result.warnings)
    # Byte for byte what pruning alone delivers.
    pruned = searched(tmp_path / "pruned", harmful, finetune_epochs=0)
    for (name, value), other in zip(
        result.model.state_dict().items(), pruned.model.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), name


def test_a_fine_tuning_that_helps_is_delivered_without_a_word(tmp_path):
    gentle = FitConfig(learning_rate=0.01, batch_size=64)
    result = searched(tmp_path / "run", gentle, baseline=False, beside="dense")
    pruned = searched(tmp_path / "pruned", gentle, baseline=False, finetune_epochs=0)
    states = (result.model.state_dict(), pruned.model.state_dict())
    assert any(not torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert result.pruned.score == pruned.finetuned.score  # trained on from what pruning delivers
    assert not [text for text in result.warnings if "did not help" in text]
    assert result.dense_finetuned.macs == result.dense.macs
    assert result.finetune_epochs == 2
