"""Agreement with an independent tool and with published counts, on whole networks."""

import json
import warnings

import pytest
import torch
from torch import nn

from autoprune.cost.polynomial import CostModel
from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.problem.prune import prune
from autoprune.structure.analyze import analyze, pin
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what numpy and torch have deprecated
    tp = pytest.importorskip("torch_pruning", reason="the oracle torch-pruning is not installed")

NETWORKS = {
    "resnet20": {"shortcut": "B"},
    "resnet56": {"shortcut": "B"},
    "vgg19": {},
    "densenet40": {},
    "mobilenetv1": {},
    "mobilenetv2": {},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_pruning_agrees_on_group_sizes(name: str) -> None:
    model, inputs = zoo.build(name, **NETWORKS[name]).eval(), torch.randn(1, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = tp.DependencyGraph().build_dependency(model, inputs)
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1:]
    theirs = [
        len(group[0][1])
        for group in graph.get_all_groups(
            ignored_layers=head, root_module_types=[nn.Conv2d, nn.Linear]
        )
    ]
    ours = [group.size for group in analyze(model, inputs).groups]
    assert sorted(ours) == sorted(theirs)


def test_option_a_resnet56_has_the_published_size() -> None:
    structure = analyze(zoo.build("resnet56"), torch.randn(2, 3, 32, 32))
    cost = CostModel(structure)
    assert cost.macs.dense == 125_485_696
    assert cost.parameters.dense == 853_018
    assert (len(structure.groups), sum(structure.sizes.values())) == (28, 1024)


def test_groups_come_in_execution_order_under_module_names() -> None:
    structure = analyze(zoo.build("resnet20", shortcut="B"), torch.randn(2, 3, 32, 32))
    names = [group.name for group in structure.groups]
    assert names[:4] == ["conv1", "layer1.0.conv1", "layer1.1.conv1", "layer1.2.conv1"]


def test_batch_size_of_the_example_does_not_change_costs() -> None:
    model = zoo.build("digits-resnet")
    one, four = (CostModel(analyze(model, torch.randn(n, 1, 8, 8))) for n in (1, 4))
    assert one.macs.dense == four.macs.dense


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


@pytest.mark.parametrize("keep", [0, -0.5, 1.5, float("nan")])
def test_uniform_refuses_fractions_outside_its_range(keep: float) -> None:
    structure = analyze(zoo.build("digits-resnet"), torch.randn(2, 1, 8, 8))
    with pytest.raises(UsageError, match="keep_fraction"):
        Plan.uniform(structure, keep)


def test_plan_is_a_hashable_mapping_that_survives_json() -> None:
    plan = Plan.of({"b": 3, "a": 5})
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan and hash(again) == hash(plan) and again.key == plan.key
    assert dict(plan) == {"b": 3, "a": 5} and plan.key != Plan.of({"b": 3, "a": 4}).key


def test_plan_must_fit_the_structure() -> None:
    structure = analyze(zoo.build("digits-resnet"), torch.randn(2, 1, 8, 8))
    plan = dict(Plan.uniform(structure, 0.5))
    name = next(iter(plan))
    for wrong in ({**plan, name: 0}, {**plan, name: 10**6}, {**plan, "other": 1}, {name: 1}):
        with pytest.raises(UsageError):
            Plan.of(wrong).check(structure)
