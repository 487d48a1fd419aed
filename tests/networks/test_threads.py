"""Threads: few for small networks, as asked, and restored."""

import json

import pytest
import torch

from autoprune.foundation.progress import Silent
from autoprune.networks.threads import SMALL, available_cores, suitable_threads, threads
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.pipeline.tuning import Tuning
from autoprune.training.config import FitConfig


def test_small_networks_get_one_thread_and_others_every_core():
    assert suitable_threads(SMALL - 1) == 1
    assert suitable_threads(SMALL) == available_cores() >= 1


def test_the_number_holds_inside_the_block_only():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("asked", "recorded"), [(0, 1), (2, 2)])
def test_a_run_computes_with_the_threads_that_it_records(asked, recorded, tmp_path):
    seen = set()

    class Watching(Silent):
        def phase(self, name, total):
            if name != "inspect":
                seen.add(torch.get_num_threads())
            return super().phase(name, total)

    options = {"agent": "uniform", "baseline": False, "finetune_epochs": 1, "workers": 1}
    config = SearchConfig(budget="0.5flops", threads=asked, run=str(tmp_path), **options)
    run_search(config, Watching(), Tuning(training=FitConfig(epochs=1, batch_size=64)))
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["environment"]["threads"] == recorded
    assert seen == {recorded}
    assert "threads" not in stored["config"]
