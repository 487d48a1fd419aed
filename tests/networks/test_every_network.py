"""Every network of the zoo through everything that is done to one, on small inputs."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from autoprune.commands.export.run import export_file
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.foundation.files import pretty, text_writer
from autoprune.networks import zoo
from autoprune.networks.save import SPEC, WEIGHTS, load, spec_json, state_tensors, write_tensors
from autoprune.networks.spec import ModelSpec, model_spec
from autoprune.ranking.rank import rank
from autoprune.runs.artifacts import Artifacts
from autoprune.structure.analyze import analyze
from autoprune.structure.slicing import Slicer

SIDES = {"simplenet": 32, "resnet18": 32, "resnet50": 32, "vgg19": 16} | dict.fromkeys(
    ("mobilenetv1", "mobilenetv2"), 16
)
"""Side of the smallest image that leaves something to see; 8 for all others."""


CASES = [*zoo.NETWORKS, "resnet20,shortcut=B"]


def case(name: str) -> tuple[ModelSpec, nn.Module, torch.Tensor]:
    """A network for four classes, with what builds it again and four inputs."""
    height, width = (32, 24) if name == "ocrnet" else (SIDES.get(name, 8),) * 2
    torch.manual_seed(0)
    spec = model_spec(name, classes=4, channels=1, size=height)
    return spec, spec.build().eval(), torch.randn(4, 1, height, width)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", CASES)
def test_every_network_is_analyzed_pruned_exports_and_reloads(name: str, tmp_path: Path) -> None:
    spec, net, inputs = case(name)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    structure = analyze(net, inputs)  # proves itself on the network, or pins
    assert structure.groups and not [item for item in structure.pinned if "verif" in item.reason]
    cost, slicer = CostModel(structure), Slicer(net, structure)
    ranking = rank(net, structure, "l1")
    assert cost.parameters.dense == count(net)
    for fraction in (0.5, 0.25):
        plan = Budget.parse(f"{fraction}flops").bind(cost, 1).uniform()
        kept = ranking.kept(plan)
        compact = slicer.build(kept)
        with torch.no_grad():
            output = compact(inputs)
            assert output.isfinite().all()
            torch.testing.assert_close(output, slicer.masked(kept)(inputs), rtol=1e-3, atol=1e-3)
        assert cost.macs(plan) <= fraction * cost.macs.dense
        assert count(compact) == cost.parameters(plan) < count(net)
    exported = export_file(compact, "pt2", tmp_path / "net.pt2", [inputs, inputs[:1]])
    assert exported.batches == (4, 1)
    run = tmp_path / "run"
    run.mkdir()
    artifacts = Artifacts(run)
    described = spec_json(spec, slicer.indices(kept), slicer.widths(kept))
    artifacts.publish(SPEC, text_writer(pretty(described)))
    artifacts.publish(WEIGHTS, partial(write_tensors, tensors=state_tensors(compact)))
    with torch.no_grad():
        assert torch.equal(load(run)(inputs), output)
        assert torch.equal(load(run, spec.build())(inputs), output), "the user's own class"
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_the_page_lists_every_network_with_its_figures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
    rows = re.findall(
        r"^\| `(.+?)` \| (\d+)x(\d+)x(\d+) \| (\d+) \| ([\d,]+) \| ([\d.]+) M \|", page, re.M
    )
    assert [row[0] for row in rows] == list(zoo.NETWORKS)
    for name, channels, height, width, classes, parameters, _ in rows:
        network = zoo.NETWORKS[name]
        assert network.image_shape == (int(channels), int(height), int(width)), name
        assert network.classes == int(classes), name
        with torch.device("meta"):
            assert count(zoo.build(name)) == int(parameters.replace(",", "")), name
