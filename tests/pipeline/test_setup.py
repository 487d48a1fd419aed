"""Steps that a budget is bound in by default."""

import pytest
import torch

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.errors import InfeasibleError
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.setup import bind_budget
from tests.synthetic import chain

CPU = torch.device("cpu")


def bound(text, **options):
    cost = CostModel(chain([64, 32, 16]))
    return bind_budget(Budget.parse(text), SearchConfig(budget=text, **options), cost, CPU)


def test_widths_are_multiples_by_default_and_every_width_on_request():
    assert bound("0.5flops").steps == (8, 8, 4)
    assert bound("0.5flops", align=1).steps == (1, 1, 1)
    assert bound("0.5flops", align=16).steps == (16, 16, 16)
    assert bound("0.5flops", granularity="weight").steps == (1, 1, 1)


def test_no_budget_is_lost_to_the_default():
    found = set()
    for thousandths in (1, 2, 4, 8, 16, 32, 64, 128):
        text = f"{thousandths / 1000}flops"
        try:
            every = bound(text, align=1)
        except InfeasibleError as error:
            with pytest.raises(InfeasibleError) as caught:
                bound(text)
            assert str(caught.value) == str(error)  # it names what the finest steps reach
            continue
        default = bound(text)
        assert default.fits(default.smallest) and every.fits(every.smallest)
        found.add(default.steps)
    assert {(8, 8, 4), (1, 1, 1)} < found


def test_what_is_left_of_a_budget_is_less_than_the_quantum():
    for text in ("0.7flops", "0.5flops", "0.3flops", "0.4params"):
        budget = bound(text)
        (limit,) = budget.constraints
        left = limit.bound - limit.cost(budget.uniform())
        assert 0 <= left < budget.quantum * limit.cost.dense
        assert budget.quantum > bound(text, align=1).quantum
