"""What a structure says of itself."""

from io import StringIO

import pytest
from rich.console import Console

from autoprune.commands.inspect.result import Inspection
from autoprune.commands.inspect.view import inspect_view
from autoprune.cost.model import CostModel
from autoprune.structure.depth import deepened
from autoprune.structure.view import macs_share
from tests.families import Case


def test_shares_are_those_of_the_cost_model(case: Case) -> None:
    _, _, _, structure = case
    for one in (structure, deepened(structure)):
        shares = [macs_share(one, group.name) for group in one.groups]
        assert shares == pytest.approx(CostModel(one).macs.shares.tolist())


def test_str_is_what_inspect_prints_and_repr_is_short(case: Case) -> None:
    _, _, _, structure = case
    console = Console(file=StringIO(), width=100, color_system=None)
    with console.capture() as capture:
        console.print(inspect_view(Inspection.of(structure, model="mine", data="none")))
    printed = "\n".join(line.rstrip() for line in capture.get().splitlines())
    assert str(structure) in printed
    assert all(group.name in str(structure) for group in structure.groups[:1])
    assert len(repr(structure)) < 60 and str(len(structure.groups)) in repr(structure)
