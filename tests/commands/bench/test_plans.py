import numpy as np
import pytest
import torch

from autoprune.commands.bench.plans import PLANS
from autoprune.cost.latency import width_steps
from autoprune.cost.model import CostModel
from autoprune.networks import zoo
from autoprune.structure.analyze import analyze

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def structure():
    torch.manual_seed(0)
    return analyze(zoo.build("conv-2").eval(), torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.9])
def test_plans_remove_as_many_units_as_the_rate_says(structure, rate):
    sizes = np.array(list(structure.sizes.values()))
    plans = {name: make(structure, rate, CPU) for name, make in PLANS.items()}
    kept = {name: np.array([plan[g] for g in structure.sizes]) for name, plan in plans.items()}
    steps = np.array(width_steps(sizes.tolist(), CPU))
    for plan in plans.values():
        plan.check(structure)
    assert np.abs(kept["even"] - (1 - rate) * sizes).max() <= 0.5
    assert (kept["aligned"] <= np.maximum((1 - rate) * sizes, 1)).all()
    wide = kept["aligned"] >= steps
    assert (kept["aligned"][wide] % steps[wide] == 0).all()
    assert kept["uneven"].sum() <= (1 - rate) * sizes.sum() + len(sizes)
    cost = CostModel(structure)
    if rate == 0.5:
        assert cost.parameters(plans["uneven"]) < cost.parameters(plans["even"])
