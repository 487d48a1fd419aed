import pytest

from autoprune.commands.ticket.evidence.summary import level_json
from autoprune.foundation.statistics import difference, estimate
from tests.tickets import level


def test_intervals_are_students():
    assert estimate([1.0]).to_json() == {"mean": 1.0, "margin": None}
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.margin == pytest.approx(4.303 / 3**0.5)
    paired = difference([10.0, 20.0, 31.0], [9.0, 19.0, 30.0])
    assert (paired.mean, paired.margin) == (1, 0)
    assert paired.positive and not paired.negative


def test_a_level_is_told_in_the_form_that_programs_rely_on():
    data = level_json(level())
    assert data["remaining"] == 0.2
    for number, seed in enumerate(data["seeds"]):
        assert seed["seed"] == number
        for kind in ("ticket", "dense", "reinit", "shuffled"):
            assert seed[kind].keys() >= {"accuracy", "early_stop", "accuracy_at"}
            assert seed[kind]["accuracy_at"] == {"300": seed[kind]["accuracy"]}
    gap = data["ticket_minus"]["reinit"]["accuracy"]
    assert gap["mean"] == pytest.approx(0.05)
    assert data["means"]["ticket"]["accuracy"]["mean"] == pytest.approx(0.95)
