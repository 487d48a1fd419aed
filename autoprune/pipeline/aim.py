"""What a search is to reach: a budget, or the smallest network that loses little enough."""

from __future__ import annotations

from autoprune.pipeline.delivery import Find, Searched, prune_by
from autoprune.pipeline.result import Result
from autoprune.pipeline.session import Session
from autoprune.pipeline.smallest import smallest


def pruned_as_asked(find: Find[Searched], session: Session[Searched]) -> Result:
    """Prune by what ``find`` finds, to the aim of the session's configuration."""
    if session.config.max_drop is not None:
        return smallest(find, session)
    return prune_by(find, session)
