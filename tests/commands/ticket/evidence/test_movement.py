import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.commands.ticket.evidence.movement import histogram, motion, movement, nearest


@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=20),
    st.lists(st.floats(-3, 3), min_size=1, max_size=20),
)
def test_weights_are_matched_with_the_nearest_initial_magnitude(values, among):
    values, among = torch.tensor(values), torch.tensor(among)
    found = among[nearest(values, among)].abs()
    best = (values.abs().unsqueeze(1) - among.abs()).abs().min(1).values
    assert torch.allclose((values.abs() - found).abs(), best)


def test_motion_is_told_by_place():
    before = {"w": torch.tensor([[1.0, -1.0, 0.5, -0.5]])}
    after = {"w": torch.tensor([[2.0, 1.0, 0.5, -0.4]])}
    masks = {"w": torch.tensor([[True, True, False, False]])}
    found = movement(before, after, masks)["w"]
    assert found["inside"].to_json() == {"initial": 1, "moved": 1.5, "grew": 0.5, "sign": 0.5}
    assert found["outside"].moved == pytest.approx(0.05)
    assert found["largest_first"] == found["inside"], "they are the ones that began largest"
    assert motion(torch.zeros(0), torch.zeros(0)) is None
    assert movement(before, after, {"w": torch.ones(1, 4, dtype=torch.bool)}) == {}
    bars = histogram(before["w"], after["w"], masks["w"])
    assert (sum(bars["inside"]), sum(bars["outside"])) == (2, 2)
