"""Types of the options that name a searcher or a ranking; their help lists what is registered."""

from __future__ import annotations

from typing import Annotated

import tyro

from autoprune.agents.registry import SEARCHERS, learners
from autoprune.foundation.options import Name
from autoprune.ranking.registry import RANKINGS

RankingName = Annotated[
    Name,
    tyro.conf.arg(help=f"Which units go first: {', '.join(RANKINGS)}; of weights l2 or l1."),
]
SearcherName = Annotated[
    Name,
    tyro.conf.arg(help=f"Searcher: {', '.join(SEARCHERS)}; {' and '.join(learners())} learn."),
]
SearcherNames = Annotated[
    tuple[str, ...],
    tyro.conf.arg(metavar="NAME ...", help=f"Searchers: {', '.join(SEARCHERS)}."),
]
LearnerName = Annotated[
    Name,
    tyro.conf.arg(help=f"Agent that goes on from the planner: {' or '.join(learners())}."),
]
