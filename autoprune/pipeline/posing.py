"""A pruning problem posed from Python: the public ``pose`` and ``Problem``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from autoprune.agents.base import Searcher, let_search
from autoprune.agents.registry import searcher as make_searcher
from autoprune.cost.budget import Budget
from autoprune.envs.layer_pruning import LayerPruning
from autoprune.envs.rewards import as_reward, find_reward
from autoprune.foundation import plugins
from autoprune.foundation.logged import progress_of
from autoprune.foundation.options import Depth
from autoprune.foundation.progress import Progress, shown_by
from autoprune.networks.threads import threads
from autoprune.pipeline.callbacks import Callback, Callbacks
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.early_end import EarlyEnd
from autoprune.pipeline.execute import check_words
from autoprune.pipeline.explore import advance, pooled
from autoprune.pipeline.finalists import Build, builder
from autoprune.pipeline.inputs import Inputs
from autoprune.pipeline.own import Evaluate, Own, RankFn, RewardFn
from autoprune.pipeline.search import named_layers, with_caller_inputs
from autoprune.pipeline.session import Session
from autoprune.pipeline.setup import set_up, thread_count
from autoprune.pipeline.stages import pose as pose_in
from autoprune.pipeline.stages import train
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.ledger import Ledger, Record
from autoprune.problem.problem import PruningProblem
from autoprune.runs.run import Run
from autoprune.structure.plan import Plan


@dataclass(frozen=True, repr=False)
class Problem(PruningProblem):
    """Pruning problem with the network it is about: searched, walked through, carried out.

    ``model``: the dense network. What a searcher gets is documented in
    :class:`autoprune.problem.problem.PruningProblem`; nothing is written to disk.
    """

    model: nn.Module = field(kw_only=True)
    session: Session[SearchConfig] = field(kw_only=True)

    def env(
        self,
        reward: str | RewardFn = "loss",
        *,
        shaping: bool = False,
        ledger: Ledger | None = None,
    ) -> LayerPruning:
        """Return the environment of the problem: one step for each group.

        ``reward``: a name, or a function of an evaluation. ``shaping``: every step earns its
        difference of a potential. With a ``ledger``, evaluations are counted and plans that were
        evaluated before cost nothing; the last step raises OutOfEvaluations when none is left.
        """
        made = find_reward(reward) if isinstance(reward, str) else as_reward(reward, "own")
        evaluate = ledger.evaluate if ledger else self.evaluate
        return LayerPruning(self, evaluate, made, shaping)

    def search(
        self,
        searcher: str | Searcher = "ddpg",
        evaluations: int = 100,
        *,
        seed: int | None = None,
        reward: str | RewardFn = "loss",
        callbacks: Iterable[Callback] = (),
        timeout: float | None = None,
        known: Ledger | None = None,
        progress: bool | Progress | None = True,
    ) -> Ledger:
        """Let a searcher spend evaluations; return the ledger: ``best``, ``history``.

        - ``searcher``: a name, or an object with ``search(problem, ledger, seed)``.
        - ``evaluations``: plans that it may try. ``seed``: the problem's by default.
        - ``reward``: what a learning agent maximizes: a name, or a function of an evaluation.
        - ``callbacks``: objects with ``on_evaluation(trial)``, which may stop the search.
        - ``timeout``: seconds after which no more plans are tried.
        - ``known``: ledger of an earlier search, whose evaluations are not computed again.
        - ``progress``: False shows none.

        Raises UsageError for what cannot be used, UserCodeError for what a caller's object raises.
        """
        own = Own.of(searcher, "regression", reward, callbacks=callbacks, timeout=timeout)
        session, shown = self.session, progress_of(progress)
        before = {one.plan: one.evaluation for one in known.history} if known else {}
        end = EarlyEnd(Callbacks(own.callbacks), own.names["minutes"])
        with (
            plugins.supplied(own.objects),
            threads(thread_count(session.config, session.structure)),
            shown.phase("search", evaluations) as phase,
            pooled(session, self, evaluations) as shared,
        ):

            def note(record: Record) -> None:
                advance(phase, ledger)
                end.after(record, ledger)

            ledger = Ledger(shared, evaluations, note, before, session.config.round_size)
            agent = make_searcher(own.names["agent"], reward=find_reward(own.names["reward"]))
            chosen = session.seeds.searcher if seed is None else seed
            let_search(agent, shared, ledger, chosen)
        return ledger

    def network(self, plan: Mapping[str, int]) -> nn.Module:
        """Return the compact network of a plan as a search delivers it before fine-tuning.

        Its weights are repaired, its batch statistics fit. Raises ValueError for another plan.
        """
        known = Plan.of(plan)
        known.check(self.structure)
        return self._build(known)

    @cached_property
    def _build(self) -> Build:
        return builder(self.session, self.model, self.ranking)


def pose(
    model: nn.Module | str,
    data: object,
    budget: str = "0.5flops",
    *,
    task: object = "classification",
    granularity: str = "channel",
    keep: Collection[str] | Mapping[str, float] = (),
    only: Collection[str] = (),
    outputs: Collection[str] = (),
    sizes: Collection[str] = (),
    ranking: str | RankFn = "regression",
    align: int | None = None,
    depth: Depth = None,
    resize: int | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    evaluate: Evaluate | None = None,
    progress: bool | Progress | None = True,
) -> Problem:
    """Pose the problem of pruning a network within a budget, without solving it.

    The network is analyzed, its units are ranked, and the scorer of plans is set up, as in the
    first half of :func:`autoprune.search`, which documents the arguments:

    - ``model``, ``data``, ``budget``, ``task``: network, data, ceiling on cost, loss and score.
    - ``granularity``, ``keep``, ``only``, ``align``, ``depth``: what is pruned, and in which steps.
    - ``outputs``, ``sizes``: names of outputs that count, and of ints that follow the plan.
    - ``ranking``: which units go first. ``evaluate``: function from a network to (loss, score).
    - ``resize``, ``seed``, ``device``, ``workers``, ``progress``: as there.

    Raises AutopruneError for whatever can be mended.
    """
    own = Own.of("uniform", ranking, "loss", evaluate)
    config = SearchConfig(
        budget=budget,
        granularity=granularity,
        **named_layers(keep, only, outputs, sizes),
        align=align,
        depth=depth,
        resize=resize,
        seed=seed,
        device=str(device),
        workers=workers,
        **own.names,
    )
    shown = progress_of(progress)
    with plugins.supplied(own.objects), shown_by(shown.phase):
        inputs, config = with_caller_inputs(model, data, task, config)
        return _posed(inputs, config, check_words(config), shown, own)


def _posed(
    inputs: Inputs, config: SearchConfig, budget: Budget, progress: Progress, own: Own
) -> Problem:
    """Pose in a run directory that is thrown away: the stages keep what they make there."""
    setup = set_up(inputs, config, budget, progress)
    with (
        threads(thread_count(config, setup.units.structure)),
        TemporaryDirectory(prefix="autoprune-") as place,
        Run(Path(place) / "run", config) as run,
        run.events() as writer,
    ):
        curves = Curves(writer, setup.units.cost)
        session = Session(setup, config, run, curves, progress, Tuning(), own)
        model = train(session)
        posed = pose_in(session, model)
    parts = {name: getattr(posed, name) for name in PruningProblem.__dataclass_fields__}
    return Problem(**parts, model=model, session=session)
