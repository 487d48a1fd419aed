import pytest

from autoprune.commands.inspect.result import Inspection
from autoprune.cost.model import CostModel
from tests.synthetic import residual


def test_inspection_agrees_with_the_cost_model():
    structure = residual([8, 12], 16)
    cost, facts = (
        CostModel(structure),
        Inspection.of(structure, model="net", data="digits").to_json(),
    )
    assert facts["macs"] == cost.macs(structure.sizes)
    assert facts["flops"] == 2 * facts["macs"]
    assert facts["parameters"] == cost.parameters(structure.sizes)
    assert facts["bytes"] == cost.bytes(structure.sizes)
    assert [(g["name"], g["size"]) for g in facts["groups"]] == list(structure.sizes.items())
    for group, share in zip(facts["groups"], cost.macs.shares, strict=True):
        without = cost.macs({**structure.sizes, group["name"]: 0})
        assert group["macs_share"] == pytest.approx(1 - without / facts["macs"], abs=1e-6)
        assert group["macs_share"] == pytest.approx(share, abs=1e-6)
