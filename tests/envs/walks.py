"""Contexts and walks to test with."""

import numpy as np
from hypothesis import strategies as st

import autoprune.envs  # noqa: F401 - registers the environment
from autoprune.envs.walk import (
    ENTRIES,
    WalkContext,
    initial,
    transition,
)
from autoprune.errors import InfeasibleError
from tests.landscape import landscape
from tests.synthetic import structures

ENTRY = {name: index for index, name in enumerate(ENTRIES)}


actions = st.floats(-1, 1, width=32)


def squashed(error):
    return (error / (1 + error)) ** 0.5


def entry(observation, name):
    return float(observation[ENTRY[name]])


@st.composite
def contexts(draw):
    structure = draw(structures)
    align = draw(st.sampled_from([1, 1, 4]))
    budget = draw(st.sampled_from(["0.6flops", "0.9flops,0.8params", "1flops", "0.95bytes"]))
    try:
        return WalkContext.of(landscape(structure, draw(st.integers(0, 9)), budget, align))
    except InfeasibleError:
        return WalkContext.of(landscape(structure, 0, "1flops", align))


def walk(context, sequence):
    states = [initial(context)]
    for action in sequence:
        states.append(transition(context, states[-1], action))
    return states


def play(env, seed=0):
    rng = np.random.default_rng(seed)
    env.reset()
    earned = []
    while True:
        _, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, 1))
        earned.append(reward)
        assert not truncated
        if terminated:
            return earned, info
