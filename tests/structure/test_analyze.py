"""Analysis: wrong structures are found, pinned groups cost what they did."""

from dataclasses import replace

import torch

from autoprune.cost.model import CostModel
from autoprune.networks import zoo
from autoprune.problem.prune import prune
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.pinning import pin
from autoprune.structure.plan import Plan
from tests.families import Case, residual_conv


def test_verification_holds(case: Case) -> None:
    _, model, inputs, structure = case
    found = verify(model, structure, inputs)
    assert found.ok
    assert found.permutation_error < 1e-5
    assert found.mask_error < 1e-5


def test_wrong_wire_is_found() -> None:
    """A structure that misses a slice, or ties it to other units, must not verify."""
    torch.manual_seed(0)
    model, inputs = residual_conv(), torch.randn(2, 3, 8, 8)
    structure = analyze(model, inputs)
    for tensor in ("b.1.weight", "c.0.weight"):
        wrong = {
            name: tuple(
                replace(item, index=item.index.flip(0)) if item.tensor == tensor else item
                for item in slices
            )
            for name, slices in structure.slices.items()
        }
        found = verify(model, replace(structure, slices=wrong), inputs)
        assert not found.ok
        assert len(found.structure.groups) < len(structure.groups)


def test_pinned_groups_leave_costs_where_they_were() -> None:
    model = zoo.build("digits-resnet")
    structure = analyze(model, torch.randn(2, 1, 8, 8))
    name = structure.groups[0].name
    less = pin(structure, {name: "because"})
    plan = Plan.uniform(less, 0.5)
    full = Plan.of({**plan, name: structure.sizes[name]})
    for cost in ("macs", "parameters", "bytes"):
        assert getattr(CostModel(less), cost)(plan) == getattr(CostModel(structure), cost)(full)
    assert (name, "because") in [(item.name, item.reason) for item in less.pinned]
    compact = prune(model, less, plan)
    assert sum(p.numel() for p in compact.parameters()) == CostModel(less).parameters(plan)
