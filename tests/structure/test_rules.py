"""Rules of the operators: groups and pins of every architecture family."""

from tests.families import Case


def test_groups_and_pins(case: Case) -> None:
    family, _, _, structure = case
    assert sorted(group.size for group in structure.groups) == sorted(family.sizes)
    assert any(family.pinned in pin.reason for pin in structure.pinned) or not family.pinned
    assert bool(structure.renormalized) == family.renormalized
