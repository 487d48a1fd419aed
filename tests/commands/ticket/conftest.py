import shutil

import pytest

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.run import run_ticket
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.pipeline.tuning import Tuning
from autoprune.training.loop import FitConfig
from tests.tickets import ALONE


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    home = tmp_path_factory.mktemp("tickets") / "whole"
    return home, run_ticket(TicketConfig(run_dir=str(home), **ALONE), Silent())


@pytest.fixture(scope="session")
def search_run(tmp_path_factory):
    """A search with a network that trains in no time."""
    home = tmp_path_factory.mktemp("search") / "run"
    config = SearchConfig(
        budget="0.3flops",
        agent="uniform",
        ranking="l1",
        evaluations=1,
        finetune_epochs=0,
        baseline=False,
        run=str(home),
    )
    run_search(config, Silent(), Tuning(training=FitConfig(epochs=1, batch_size=64)))
    return home


@pytest.fixture(scope="session")
def given_run(search_run, tmp_path_factory):
    """A search of a network that was trained before, and the file of its weights."""
    home = tmp_path_factory.mktemp("given")
    shutil.copyfile(search_run / "base.safetensors", home / "weights.safetensors")
    config = SearchConfig(
        budget="0.3flops",
        model="digits-resnet",
        weights=str(home / "weights.safetensors"),
        agent="uniform",
        ranking="l1",
        evaluations=1,
        finetune_epochs=0,
        baseline=False,
        run=str(home / "run"),
    )
    run_search(config, Silent())
    return home
