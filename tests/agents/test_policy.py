"""Policies: stored, loaded, applied to other networks, and refused when damaged."""

import json
import sys

import numpy as np
import pytest
import torch

from autoprune.agents.policy import Policy
from autoprune.envs.walk import ENTRIES, VERSION
from autoprune.errors import DamagedError
from tests.agents.searching import LEARNERS, make, search
from tests.landscape import chain_landscape, residual_landscape


@pytest.fixture(scope="module", params=list(LEARNERS))
def trained(request):
    problem = chain_landscape(0, groups=5)
    agent = make(request.param)
    search(problem, agent, 8)
    return agent.policy


def test_a_policy_survives_its_files_and_runs_on_another_network(trained):
    text = json.dumps(trained.to_json())
    again = Policy.read(json.loads(text), trained.to_safetensors())
    assert again.trained_on["evaluations"] == 8
    for other in (residual_landscape(5, blocks=2), chain_landscape(3, groups=4, budget="0.3macs")):
        assert other.budget.met(again.plan(other))
        assert again.plan(other) == trained.plan(other)


def test_a_policy_is_the_actor():
    problem = chain_landscape(0, groups=5)
    observations = np.random.default_rng(0).uniform(-1, 1, (9, len(ENTRIES)))
    observations = observations.astype(np.float32)
    torch.manual_seed(0)
    actor = torch.nn.Sequential(
        torch.nn.Linear(len(ENTRIES), 8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 1),
        torch.nn.Tanh(),
    )
    policy = Policy.of(actor, "relu", "tanh", {})
    expected = actor(torch.as_tensor(observations)).detach().numpy()[:, 0]
    np.testing.assert_allclose(policy(observations), expected, atol=1e-6)
    assert problem.budget.met(policy.plan(problem))


def broken(description, content):
    """Descriptions and contents that must all be refused."""
    text = json.dumps(description)
    yield None, content
    yield [1], content
    yield {**description, "format": 2}, content
    yield json.loads(text.replace(f'"version": {VERSION}', '"version": 0')), content
    yield json.loads(text.replace('"depth"', '"deep"')), content
    yield {**description, "widths": [64, 64, 2]}, content
    yield {**description, "widths": [64, 1]}, content
    yield {**description, "widths": [10**9, 1]}, content
    yield {**description, "widths": "wide"}, content
    yield {**description, "widths": []}, content
    yield {**description, "hidden": "gelu"}, content
    yield {**description, "trained_on": 3}, content
    yield description, b""
    yield description, content[:-5]
    yield description, b"\xff" * 100
    yield description, sys.intern("pickle").encode()
    yield description, content.replace(b"F32", b"I32")
    yield description, content[:-4] + np.float32(np.nan).tobytes()


def test_damaged_and_hostile_policies_are_refused(trained):
    for description, content in broken(trained.to_json(), trained.to_safetensors()):
        with pytest.raises(DamagedError):
            Policy.read(description, content)
