"""Groups of whole networks agree with Torch-Pruning and published counts."""

import warnings

import pytest
import torch
from torch import nn

from autoprune.cost.model import CostModel
from autoprune.networks import zoo
from autoprune.structure.analyze import analyze

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
        warnings.simplefilter("ignore")  # it imports what numpy and torch have deprecated
        tp = pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")
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
