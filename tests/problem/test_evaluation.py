"""Evaluations in the journal."""

from autoprune.pipeline.explore import entry, recall
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Record
from autoprune.structure.plan import Plan


def test_the_journal_keeps_doubt_and_knows_entries_without():
    plan = Plan.of({"a": 2, "b": 3})
    for doubt in (0.0, 0.125):
        evaluation = Evaluation(0.5, 1.25, doubt=doubt)
        kept = entry(Record(1, plan, evaluation))
        assert ("doubt" in kept) == bool(doubt)
        assert recall(kept) == (plan, evaluation)
