"""Measured latency of the networks that may be delivered, beside the dense one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from autoprune.cost.latency.backends import find_backend
from autoprune.cost.latency.clock import Spread, relative
from autoprune.cost.latency.deployed import samples_in
from autoprune.foundation.schema import encode_fields
from autoprune.pipeline.session import PruningSession
from autoprune.pipeline.timing import TIMES, Timing, recorded
from autoprune.structure.plan import Plan


class Gauge:
    """Times of plans' networks beside the dense one; those measured before are remembered."""

    def __init__(self, session: PruningSession, dense: nn.Module) -> None:
        self._session, self._dense = session, dense
        (self.limit,) = (
            one.limit for one in session.budget.constraints if one.limit.cost == "latency"
        )
        self._known = recorded(session.run)

    def measure(self, networks: Sequence[tuple[Plan, nn.Module]]) -> list[Timing]:
        """Return the times of plans' networks; those not yet known are measured now and stored."""
        new = {plan: network for plan, network in networks if plan not in self._known}
        if new:
            config, inputs = self._session.config, self._session.inputs
            batch = inputs.sized_batch(config.latency_batch)
            backend = find_backend(config.backend, self._dense, inputs.task, batch)
            first, *others = backend.rounds([self._dense, *new.values()])
            scale = 1000 / samples_in(batch)
            dense = Spread.of([scale * seconds for seconds in first]).median
            for plan, times in zip(new, others, strict=True):
                spent = Spread.of([scale * seconds for seconds in times])
                self._known[plan] = Timing(plan, dense, spent, relative(times, first))
            found = [encode_fields(timing) for timing in self._known.values()]
            self._session.run.publish_json(TIMES, found)
        return [self._known[plan] for plan, _ in networks]

    def excess(self, timing: Timing) -> float:
        """Return by what part of the limit the far end of the measured interval is over it."""
        limit = self.limit
        if limit.relative:
            return timing.fraction.high / float(limit.amount) - 1 if limit.amount < 1 else -1.0
        return timing.ms.high / float(limit.amount) - 1

    def known(self, plan: Plan) -> Timing:
        """Return the time of a plan that was measured before."""
        return self._known[plan]
