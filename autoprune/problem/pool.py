"""Pool that scores plans here, in worker processes once these save time, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor

from autoprune.errors import UsageError
from autoprune.foundation.closing import Closing
from autoprune.foundation.executors import LOCAL, cluster
from autoprune.networks.execution import device_of, one_thread
from autoprune.networks.executor import Executor, hire
from autoprune.networks.threads import available_cores
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.evaluator import Entry, Evaluator, EvaluatorParts, Outcome
from autoprune.structure.plan import Plan


@dataclass(frozen=True)
class PoolConfig:
    """Conditions for starting worker processes, and the size of a pool's memory."""

    worth: float = 20.0
    """Remaining seconds of evaluation above which starting processes saves time."""
    most: int = 4
    """Largest number of processes chosen automatically; each holds network and search split."""
    held: int = 32
    """Plans whose losses and scores per sample are kept, in case others race against them."""


class ScorerPool(Closing):
    """Scorer that runs plans in parallel and gives up those that fall behind the best.

    The evaluations do not depend on ``workers`` (0: chosen automatically, at most
    ``config.most``): each is computed on one thread. ``evaluations``: the number expected in all.
    ``executor``: where workers are, as in :mod:`autoprune.networks.executor`; those that are not on
    this machine are used from the first plan on. Use it as a context manager.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        workers: int,
        evaluations: int,
        config: PoolConfig | None = None,
        executor: str = LOCAL,
    ) -> None:
        self.config = config or PoolConfig()
        self._here = evaluator
        most = self.config.most if cluster(executor) else min(self.config.most, available_cores())
        count = workers or most
        self._count, self._auto = min(count, max(evaluations, 1)), not workers
        self._executor = executor
        self._left = evaluations
        self._seconds: list[float] = []
        self._workers: Executor[Entry, Outcome] | None = None
        self._seen: dict[Plan, Tensor] = {}

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Score plans, in their order; see :class:`autoprune.problem.scorer.Scorer`."""
        self._left -= len(plans)
        remote = self._executor != LOCAL
        if self._workers is None and (remote or (self._count > 1 and self._pays(len(plans)))):
            self._start()
        samples = self._samples(best) if best and self._here.races else None
        for plan, (evaluation, seen) in zip(plans, self._race(plans, samples), strict=True):
            if seen is not None:
                self._seen[plan] = seen
            yield evaluation

    @property
    def places(self) -> tuple[str, ...]:
        """Machine and device of each worker that has begun; none while plans are run here."""
        return self._workers.places if self._workers is not None else ()

    def close(self) -> None:
        """End the workers."""
        if self._workers is not None:
            self._workers.close()

    def _samples(self, best: Plan) -> Tensor:
        """Return the best plan's losses and scores per sample; after a resume it is run again."""
        seen = self._seen.pop(best, None)
        if seen is None:
            ((_, seen),) = self._race([best], None)
        assert seen is not None  # noqa: S101 (a network that races has samples)
        self._seen[best] = seen
        for plan in list(self._seen)[: -self.config.held]:
            del self._seen[plan]
        return seen

    def _race(self, plans: Sequence[Plan], best: Tensor | None) -> Iterator[Outcome]:
        entries = [(plan, best) for plan in plans]
        if self._workers is not None:
            yield from self._workers.map(entries)
            return
        for entry in entries:
            with one_thread():
                outcome = self._here.race(entry)
            self._seconds.append(outcome[0].seconds)
            yield outcome

    def _pays(self, now: int) -> bool:
        if not self._auto:
            return True
        expected = fmean(self._seconds) * (self._left + now) if self._seconds else 0.0
        return expected > self.config.worth

    def _start(self) -> None:
        try:
            self._workers = hire(
                self._executor,
                self._count,
                _racer,
                self._here.parts,
                gpus=device_of(self._here.parts.model).type == "cuda",
            )
        except UsageError:  # a network that cannot be sent
            if not self._auto or self._executor != LOCAL:
                raise
            self._count = 1


def _racer(parts: EvaluatorParts) -> Callable[[Entry], Outcome]:
    """Return the function that a worker process maps."""
    return Evaluator(parts).race
