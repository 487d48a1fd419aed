import dataclasses
import re

import pytest

from autoprune.commands.inspect.result import Inspection
from autoprune.commands.inspect.view import inspect_view
from autoprune.pipeline.view import result_view
from autoprune.structure.table import Pinned
from tests.pipeline.test_result import example
from tests.showing import show
from tests.synthetic import residual, with_branches


def inspection(structure, model="net"):
    return Inspection.of(structure, model=model, data="digits")


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width):
    structure = dataclasses.replace(
        residual([8, 12], 16), pinned=(Pinned("fc", 10, "model output"),)
    )
    for view in (result_view(example()), inspect_view(inspection(structure))):
        assert max(len(line) for line in show(view, width).splitlines()) <= width


def test_eighty_columns_cut_nothing():
    assert "…" not in show(result_view(example()))
    assert "…" not in show(inspect_view(inspection(residual([8, 12], 16))))


def test_names_are_shown_as_they_are_not_as_markup():
    plan = example().groups
    odd = dataclasses.replace(plan[0], name="[red]layer[/red]")
    assert "[red]layer[/red]" in show(result_view(example(groups=(odd, plan[1]))))
    assert "[bold]net" in show(inspect_view(inspection(residual([8, 12], 16), "[bold]net")))


def test_inspection_says_what_is_pinned_and_why():
    pinned = (
        Pinned("fc", 10, "model output"),
        Pinned("input", 3, "model input"),
        Pinned("head", 4, "model output"),
    )
    text = show(inspect_view(inspection(dataclasses.replace(residual([8, 12], 16), pinned=pinned))))
    assert re.search(r"fc \(10\), head \(4\) +model output", text)
    assert re.search(r"input \(3\) +model input", text)


def test_branches_stand_below_those_that_they_are_in():
    plain = with_branches([8, 12, 4], 16, nested=True)
    shown = show(inspect_view(inspection(plain)))
    rows = [line for line in shown.splitlines() if re.match(r" +(outer|block\d)", line)]
    assert [row.split()[0] for row in rows][-4:] == ["outer", "block0", "block1", "block2"]
    indents = [len(row) - len(row.lstrip()) for row in rows[-4:]]
    assert indents[1] == indents[2] == indents[0] + 2 and indents[3] == indents[0]
    assert "--depth auto" in shown
