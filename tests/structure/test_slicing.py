"""Slicing: compact networks equal masked ones."""

import pytest
import torch

from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from tests.families import Case, TiedWeights, chunk, difference, outputs, residual_conv


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.8])
def test_compact_equals_masked(case: Case, keep: float) -> None:
    _, model, inputs, structure = case
    plan = Plan.of(
        {
            name: structure.sizes[name] if name in structure.renormalized else count
            for name, count in Plan.uniform(structure, keep).items()
        }
    )
    compact, masked = prune(model, structure, plan), mask(model, structure, plan)
    assert difference(compact, masked, inputs) <= 1e-5


def test_compact_runs_where_norms_change(case: Case) -> None:
    _, model, inputs, structure = case
    compact = prune(model, structure, Plan.uniform(structure, 0.5), "random")
    before, after = outputs(model, inputs), outputs(compact, inputs)
    assert [out.shape for out in before] == [out.shape for out in after]


def test_ties_flags_modes_survive() -> None:
    torch.manual_seed(0)
    model = TiedWeights().train()
    model.a.weight.requires_grad_(False)
    tokens = torch.randint(0, 11, (2, 7))
    structure = analyze(model, tokens)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    compact = prune(model, structure, Plan.uniform(structure, 0.5))
    assert compact.out.weight is compact.embed.weight
    assert compact.training and model.training
    assert not compact.a.weight.requires_grad and compact.b.weight.requires_grad
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_frozen_model_prunes_like_any_other() -> None:
    torch.manual_seed(0)
    model = residual_conv()
    thawed = analyze(model, torch.randn(2, 3, 8, 8))
    frozen = analyze(model.requires_grad_(False), torch.randn(2, 3, 8, 8))
    assert frozen.sizes == thawed.sizes


def test_structure_of_another_model_is_refused() -> None:
    structure = analyze(residual_conv(), torch.randn(2, 3, 8, 8))
    with pytest.raises(UsageError, match="another model"):
        prune(chunk(), structure, Plan.uniform(structure, 0.5))


def test_slicing_with_no_plan_changes_nothing() -> None:
    torch.manual_seed(0)
    model, inputs = zoo.build("digits-resnet").eval(), torch.randn(2, 1, 8, 8)
    slicer = Slicer(model, analyze(model, inputs))
    with torch.no_grad():
        assert torch.equal(slicer({})(inputs), model(inputs))


def test_shell_forgets_the_plan_before() -> None:
    torch.manual_seed(0)
    model, inputs = zoo.build("digits-resnet").eval(), torch.randn(2, 1, 8, 8)
    structure = analyze(model, inputs)
    slicer = Slicer(model, structure)
    halves = {name: torch.arange(size // 2) for name, size in structure.sizes.items()}
    with torch.no_grad():
        first = slicer(halves)(inputs)
        slicer({name: torch.arange(1) for name in structure.sizes})
        assert torch.equal(slicer(halves)(inputs), first)
        assert torch.equal(slicer.build(halves).eval()(inputs), first)
