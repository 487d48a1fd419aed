import pytest

from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.run import run_train
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from tests.trainings import LENET


@pytest.fixture(scope="session")
def dense(tmp_path_factory):
    """A trained LeNet-300-100: its run and its result."""
    home = tmp_path_factory.mktemp("train") / "dense"
    return home, run_train(TrainConfig(run=str(home), **LENET), Silent())


@pytest.fixture(scope="session")
def searched(dense, tmp_path_factory):
    """A search on the weights of that run."""
    home = tmp_path_factory.mktemp("search") / "run"
    settings = {"agent": "uniform", "evaluations": 1, "finetune_epochs": 1, "baseline": False}
    config = SearchConfig(
        budget="0.5params", model="lenet-300-100", weights=str(dense[0]), run=str(home), **settings
    )
    return home, run_search(config, Silent())
