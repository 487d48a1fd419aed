"""Evidence beside a plan: what its search is held against, and what each group lost."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import nn

from autoprune.networks.score import measure
from autoprune.pipeline.explore import recall
from autoprune.pipeline.result import Reference, Result
from autoprune.pipeline.session import PruningSession
from autoprune.problem.evaluation import FAILED_LOSS
from autoprune.problem.problem import PruningProblem


def with_evidence(
    result: Result, session: PruningSession, problem: PruningProblem, dense: nn.Module
) -> Result:
    """Add the error that the ranking predicts for every group and, of searches, the references.

    A caller's own scorer is not asked for more than the search asked it for.
    """
    errors = problem.ranking.errors
    groups = tuple(
        replace(group, error=float(errors[group.name][result.plan[group.name]]))
        for group in result.groups
    )
    result = replace(result, groups=groups)
    if not result.evaluations or session.own.evaluate is not None:
        return result
    uniform = session.budget.uniform()
    known = dict(map(recall, session.run.journal.records)).get(uniform)
    found = known if known and known.complete else problem.evaluate(uniform)
    whole = measure(dense, session.inputs.search, session.inputs.task)
    references = {
        name: Reference(one.score, one.loss)
        for name, one in (("dense", whole), ("uniform", found))
        if math.isfinite(one.score + one.loss) and one.loss < FAILED_LOSS
    }
    return replace(result, references=references)
