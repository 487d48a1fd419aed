"""Execution of a command in a run directory: begun, continued, or shown again."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, TypeVar

from autoprune.cost.budget import Budget
from autoprune.cost.energy import EnergyTable
from autoprune.cost.latency.backends import check_backend
from autoprune.data import SPLITS, describe
from autoprune.envs.rewards import LOSS
from autoprune.foundation.executors import check_reachable
from autoprune.foundation.files import text_writer
from autoprune.foundation.page import REPORT
from autoprune.foundation.progress import Progress
from autoprune.networks.save import load
from autoprune.networks.threads import threads
from autoprune.pipeline.config import EvaluatingConfig, PruningConfig, SearchConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.inputs import Inputs, weights_hash
from autoprune.pipeline.own import NOTHING, Own
from autoprune.pipeline.page import Facts, result_page
from autoprune.pipeline.result import Result
from autoprune.pipeline.session import Session
from autoprune.pipeline.setup import LATENCY, Setup, set_up, thread_count
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.granularity.checks import check_limits, check_ranking
from autoprune.problem.granularity.parse import Granularity
from autoprune.runs.run import RESULT, Run
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done

Asked = TypeVar("Asked", bound=PruningConfig)

LONG: Final = 30.0
"""Seconds of a run above which TensorBoard shows its plots, too: they take seconds."""


def check_words(config: PruningConfig) -> Budget:
    """Parse the budget, check the words that need neither network nor data, and look for a cluster.

    Nothing is loaded yet. Raises UsageError.
    """
    granularity, budget = Granularity.parse(config.granularity), Budget.parse(config.ceiling)
    check_limits(granularity, budget)
    check_ranking(granularity, config.ranking)
    check_backend(config.backend)
    if isinstance(config, EvaluatingConfig):
        check_reachable(config.executor)
    return budget


def execute_in_run(
    inputs: Inputs,
    config: Asked,
    budget: Budget,
    progress: Progress,
    work: Callable[[Session[Asked]], Result],
    tuning: Tuning | None = None,
    own: Own = NOTHING,
) -> Result:
    """Run ``work`` in a run directory: a finished run is shown again, any other continued."""
    began = time.monotonic()
    setup = announced(inputs, config, budget, progress)
    number = thread_count(config, setup.units.structure)
    with threads(number), opened(setup, config) as run:
        if done(run, progress):
            return finished(run, inputs)
        with session_in(run, setup, config, progress, tuning or Tuning(), own) as session:
            return completed(session, work(session), began)


def completed(session: Session[Asked], result: Result, began: float) -> Result:
    """Store the result of a run that ``began`` at a time of the monotonic clock: it is finished."""
    session.curves.outcome(session.config, result)
    result = replace(result, seconds=round(time.monotonic() - began, 2))
    if result.seconds > LONG:
        session.curves.pictures(result)
    session.run.publish(REPORT, text_writer(result_page(result, Facts.of(session))))
    session.run.publish_json(RESULT, result.to_json())
    discard(session.run.artifacts)
    return result


def announced(inputs: Inputs, config: PruningConfig, budget: Budget, progress: Progress) -> Setup:
    """Set up a network for pruning; say so where a cost is a model of it."""
    if "energy" in budget.costs:
        progress.note("\n  ".join(("energy is a model:", *EnergyTable().lines())))
    return set_up(inputs, config, budget, progress)


@contextmanager
def opened(setup: Setup, config: PruningConfig) -> Iterator[Run]:
    """Open the run of a configuration, which rests on the data and weights that it began with."""
    inputs = setup.inputs
    with Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(data=inputs.data.fingerprint, weights=weights_hash(inputs.model))
        yield run


@contextmanager
def session_in(
    run: Run, setup: Setup, config: Asked, progress: Progress, tuning: Tuning, own: Own
) -> Iterator[Session[Asked]]:
    """Begin or continue a session in an open run."""
    data = setup.inputs.data
    run.publish_json(SPLITS, describe(data))
    run.warnings.extend(data.remarks)
    if setup.latency is not None and LATENCY not in run.artifacts.names:
        run.publish_json(LATENCY, setup.latency.to_json())
    with run.events() as writer:
        reward = config.reward if isinstance(config, SearchConfig) else LOSS.name
        curves = Curves(writer, setup.units.cost, reward)
        yield Session(setup, config, run, curves, progress, tuning, own)


def finished(run: Run, inputs: Inputs) -> Result:
    """Return the result of a finished run, with its network."""
    result = Result.from_json(run.artifacts.json(RESULT))
    model = load(run.path, copy.deepcopy(inputs.model))
    return replace(result, model=model, run=run.path)
