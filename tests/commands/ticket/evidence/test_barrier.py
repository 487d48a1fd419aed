import pytest

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.evidence.barrier import barrier
from autoprune.commands.ticket.jobs import folder
from autoprune.commands.ticket.prepare import prepare
from autoprune.commands.ticket.run import run_ticket
from autoprune.commands.ticket.ticket import Ticket
from autoprune.foundation.progress import Silent
from autoprune.networks.score import measure
from tests.tickets import ALONE, at


def test_the_barrier_between_two_orders_of_the_data(tmp_path):
    config = TicketConfig(
        run_dir=str(tmp_path), barrier=True, **(ALONE | {"levels": 1, "seeds": 1})
    )
    result = run_ticket(config, Silent())
    ticket = Ticket.load(at(tmp_path, 0, 0))
    twin = Ticket.load(folder(tmp_path, 0, "level-00-twin"))
    study, _ = prepare(config)
    found = barrier(study.experiment, ticket.trained, twin.trained, points=3)
    network = study.experiment.network(0)
    errors = []
    for part in (0, 0.5, 1):
        mixed = {k: v + part * (twin.trained[k] - v) for k, v in ticket.trained.items()}
        network.load_state_dict(mixed)
        score = measure(network, study.experiment.splits.validation, study.experiment.task).score
        errors.append(1 - score)
    assert found.errors == pytest.approx(errors)
    assert found.height == pytest.approx(max(errors) - (errors[0] + errors[2]) / 2)
    assert barrier(study.experiment, ticket.trained, ticket.trained).height == pytest.approx(0)
    assert result["analysis"]["barrier_dense"]["mean"] >= found.height - 1e-9, "11 points see more"
    places = result["analysis"]["movement"]["fc1.weight"]
    assert places["twin_inside"]["initial"] == places["inside"]["initial"]
    assert places["twin_inside"]["moved"] != places["inside"]["moved"]
