"""Training along with a leading process, which alone has the run."""

from __future__ import annotations

import copy
from dataclasses import replace

from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.commands.train.inputs import TrainingInputs
from autoprune.commands.train.result import Trained
from autoprune.foundation.files import parse
from autoprune.networks.execution import device_of
from autoprune.networks.frozen import thawed
from autoprune.networks.threads import threads
from autoprune.training.checkpoint import State
from autoprune.training.distributed import Team
from autoprune.training.loop import fit


def train_along(
    inputs: TrainingInputs, config: TrainConfig | FinetuneConfig, team: Team
) -> Trained:
    """Take part in what the leader trains; return its result.

    Raises LeaderFailedError if the leader failed.
    """
    with threads(team.threads(config.threads)):
        while not isinstance(told := team.listen(), bytes):
            model = copy.deepcopy(inputs.model)
            with thawed(model):
                fit(
                    model,
                    inputs.data.train,
                    inputs.task,
                    inputs.recipe,
                    teacher=inputs.teacher,
                    masks=inputs.masks_on(device_of(model)),
                    checkpoint=Received(told),
                    validate=(lambda _: 0.0) if config.command == FinetuneConfig.command else None,
                    team=team,
                )
    return replace(Trained.from_json(parse(told.decode(), "the result")), run=config.directory)


class Received:
    """Checkpoint that the leader sent; it keeps nothing."""

    due = False

    def __init__(self, state: State) -> None:
        self._state = state

    def load(self) -> State:
        """Return the state that the leader trains from."""
        return self._state

    def save(self, state: State) -> None:
        """Keep nothing: the leader does."""
