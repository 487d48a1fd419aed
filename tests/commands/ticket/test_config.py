from pathlib import Path

import pytest

from autoprune.commands.ticket import config as words
from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.criteria import CRITERIA
from autoprune.commands.ticket.run import run_ticket
from autoprune.commands.ticket.studies.early import RULES
from autoprune.commands.ticket.training.recipe import RECIPES
from autoprune.errors import UsageError
from tests.killing import Dies
from tests.tickets import SHORT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewind": "60it"}, "cannot begin after step 60 of 60"),
        ({"rewind": "soon"}, "cannot read --rewind"),
        ({"rate": 0.0}, "--rate"),
        ({"rate": 1.0}, "--rate"),
        ({"levels": 0}, "--levels"),
        ({"epochs": 3}, "both set the length"),
        ({"scope": "wide"}, "--scope"),
        ({"model": "lenet"}, "unknown network"),
        ({"workers": 0}, "--workers"),
        ({"recipe": "alexnet"}, "unknown --recipe 'alexnet'"),
        ({"weeks": 1}, "--weeks"),
        ({"early": "61it"}, "--early 61it is iteration 61"),
        ({"early": "0it"}, "--early 0it is iteration 0"),
        ({"early": "soon"}, "cannot read --early 'soon'"),
        ({"early": "10it", "weeks": 2}, "ask different questions"),
        ({"early": "10it", "barrier": True}, "--barrier goes with"),
        ({"initial": "w.safetensors"}, "--initial belongs to --run"),
    ],
)
def test_bad_requests_are_refused_before_any_training(change, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run_ticket(
            TicketConfig(run_dir=str(tmp_path / "run"), **(SHORT | change)), Dies("tickets", 0)
        )


def test_where_a_run_lives():
    assert TicketConfig(model="resnet20", run="here").directory == Path("here")
    assert TicketConfig().model == "lenet-300-100"
    assert TicketConfig(run="logs/found").directory.name.startswith("ticket-found-digits-")


def test_the_command_line_knows_the_names_of_all_masks():
    assert set(words.RULES) == set(RULES)
    assert set(words.CRITERIA) == set(CRITERIA)
    assert set(words.RECIPES) == {"general", *RECIPES}
