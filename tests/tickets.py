"""Inputs of the tests of ``autoprune ticket``: layers, short runs, and made-up figures."""

import torch
from hypothesis import strategies as st

from autoprune.commands.ticket.evidence.summary import Level
from autoprune.commands.ticket.jobs import folder
from autoprune.commands.ticket.training.trial import TicketTrial


@st.composite
def layers(draw):
    """Weights of a few layers, with ties, and masks that keep at least one of each."""
    weights, masks = {}, {}
    for number in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 30))
        values = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
        kept = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        kept[draw(st.integers(0, size - 1))] = True
        weights[f"layer{number}"] = torch.tensor(values).float().view(1, -1)
        masks[f"layer{number}"] = torch.tensor(kept).view(1, -1)
    return weights, masks


# Two levels of LeNet on digits, short but long enough for the reinitialized ticket to fall behind.
SHORT = {"model": "lenet-300-100", "levels": 2, "iterations": 60, "seeds": 2, "rate": 0.5}
ALONE = SHORT | {"workers": 1}
BRIEF = {"levels": 2, "iterations": 30, "seeds": 1, "rate": 0.5, "workers": 1}


def at(home, seed, level):
    return folder(home, seed, f"level-{level:02d}")


WOBBLE = (0.0, 0.001, -0.001)


def trial(accuracy, reached=100):
    """A training that comes to its validation accuracy of 0.9 after ``reached`` iterations."""
    curve = tuple((step, 1.0, 0.9 if step >= reached else 0.5) for step in (50, 100, 150, 200))
    return TicketTrial(accuracy, 200, accuracy, {"300": accuracy}, curve)


def trials(seeds=3, reached=100, **accuracy):
    """Figures of so many seeds, which differ a little and not in the same way for each kind."""
    return {
        seed: {
            kind: trial(value + WOBBLE[(seed + place) % 3], reached if kind == "ticket" else 100)
            for place, (kind, value) in enumerate(accuracy.items())
        }
        for seed in range(seeds)
    }


def level(**options):
    kinds = {"ticket": 0.95, "dense": 0.94, "reinit": 0.90, "shuffled": 0.90}
    return Level(0.2, trials(**(kinds | options)))
