from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.training.recipe import recipe


def test_any_network_can_be_trained_by_the_recipe_of_another():
    plain, asked = (
        recipe(TicketConfig(recipe=name), "mine.py:f", 600) for name in (None, "conv-2")
    )
    assert (plain.optimizer, asked.optimizer) == ("sgd", "adamw")
    assert (asked.learning_rate, asked.batch_size, asked.steps) == (2e-4, 60, 200)
