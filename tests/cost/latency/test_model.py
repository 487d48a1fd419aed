"""Latency of a network, measured."""

import json

import numpy as np
import pytest

from autoprune.cost.latency import LatencyModel, Survey, measure_latency
from autoprune.cost.model import CostModel
from autoprune.errors import DamagedError
from tests.timed_net import QUICK, TASK, Mixed, batch, of


def test_a_latency_is_positive_grows_and_survives_json():
    model, structure, choices = of(Mixed)
    found = measure_latency(model, structure, TASK, batch(), choices, turns=QUICK)
    assert LatencyModel.from_json(json.loads(json.dumps(found.to_json()))).to_json() == (
        found.to_json()
    )
    cost = CostModel(structure, latency=found.cost)
    least, most = ([options[place] for options in choices] for place in (0, -1))
    assert 0 < found.cost.at(np.array(least)) <= found.cost.at(np.array(most)) == found.cost.dense
    assert cost.latency is found.cost and found.batch == 4
    assert 0 <= found.corrected < 1 and len(found.fit) >= 2
    with pytest.raises(DamagedError):
        LatencyModel.from_json({**found.to_json(), "format": 0})


def test_what_is_known_of_a_machine_is_not_measured_again():
    model, structure, choices = of(Mixed)
    first = Survey(model, structure, TASK, batch(3), choices, turns=QUICK)
    taken = []
    first.take(lambda: taken.append(1))
    assert len(taken) == len(first.missing) > 10
    assert not Survey(model, structure, TASK, batch(3), choices).missing
    assert Survey(model, structure, TASK, batch(5), choices).missing
