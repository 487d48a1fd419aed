from dataclasses import replace

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.prepare import prepare
from autoprune.commands.ticket.training.experiment import Seeds
from autoprune.data import Split
from autoprune.runs.journal import read_journal
from tests.tickets import ALONE


def test_nothing_is_decided_on_the_test_split(whole):
    """With other test labels everything but the accuracies on them stays as it was."""
    _, result = whole
    study, _ = prepare(TicketConfig(**(ALONE | {"seeds": 1})))
    splits = study.experiment.splits
    images, labels = splits.test.content
    wrong = Split((images, (labels + 1) % 10), splits.test.form, "test")
    experiment = replace(study.experiment, splits=splits._replace(test=wrong))
    seeds = Seeds.of(0)
    found = experiment.train(experiment.network(seeds.init), seeds.order, lambda steps: None)
    dense = result["levels"][0]["seeds"][0]["dense"]
    assert found.trial.early_stop == dense["early_stop"]
    assert found.trial.accuracy < 0.2 < dense["accuracy"]


def test_early_stopping_is_where_the_validation_loss_is_least(whole):
    home, _ = whole
    for record in read_journal(home / "evaluations.jsonl"):
        least = min(record["trial"]["curve"], key=lambda point: point[1])
        assert record["trial"]["early_stop"] == least[0]
