"""Sparse tensors in a weights file."""

import pytest
import torch

from autoprune.errors import DamagedError
from autoprune.networks.bitmap import pack, pack_masks, unpack, unpack_masks


@pytest.mark.parametrize("shape", [(1,), (7,), (8,), (3, 5), (2, 3, 3, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_packed_comes_back_and_takes_a_bit_a_place(shape, dtype):
    torch.manual_seed(0)
    mask = torch.rand(shape) < 0.4
    weight = torch.randn(shape).to(dtype) * mask
    tensors = {"w": weight, "b": torch.randn(3)}
    packed = pack(tensors, {"w": mask})
    assert packed["w"].shape == (int(mask.sum()),)
    assert packed["w.bitmap"].numel() == -(-weight.numel() // 8)
    back = unpack(packed, ["w"], {"w": weight.shape})
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], value) for name, value in tensors.items())


@pytest.mark.parametrize(
    "change",
    [
        {"w": torch.zeros(3)},
        {"w": torch.zeros(2, 1)},
        {"w.bitmap": torch.zeros(2, dtype=torch.uint8)},
        {"w.bitmap": torch.zeros(1, dtype=torch.int32)},
        {"w.bitmap": None},
        {"w": None},
    ],
)
def test_what_pack_did_not_write_is_refused_by_name(change):
    packed = pack({"w": torch.tensor([1.0, 0.0, 2.0])}, {"w": torch.tensor([True, False, True])})
    hostile = {n: v for n, v in {**packed, **change}.items() if v is not None}
    with pytest.raises(DamagedError, match="'w'"):
        unpack(hostile, ["w"], {"w": torch.Size([3])})
    with pytest.raises(DamagedError, match="'v'"):
        unpack(packed, ["v"], {"w": torch.Size([3])})


def test_masks_take_a_bit_a_place_and_files_of_bytes_still_load():
    torch.manual_seed(0)
    shapes = {"a.weight": (3, 5), "a.bias": (9,), "b.bitmap": (2, 3), "one": ()}
    masks = {name: torch.rand(shape) < 0.5 for name, shape in shapes.items()}
    packed = pack_masks(masks)
    assert packed["a.weight.bitmap"].numel() == packed["a.bias.bitmap"].numel() == 2
    for stored in (packed, masks, {name: mask.to(torch.uint8) for name, mask in masks.items()}):
        back = unpack_masks(stored)
        assert back.keys() == masks.keys()
        assert all(torch.equal(back[name], mask) for name, mask in masks.items())


@pytest.mark.parametrize(
    "change",
    [
        {"w.shape": torch.tensor([17])},
        {"w.shape": torch.tensor([-1, -9])},
        {"w.shape": torch.tensor([9.0])},
        {"w.shape": torch.tensor([2**40, 2**40])},
        {"w.bitmap": torch.zeros(2, dtype=torch.int32)},
        {"w.bitmap": torch.zeros(2, 1, dtype=torch.uint8)},
    ],
)
def test_masks_of_another_form_are_refused_by_name(change):
    with pytest.raises(DamagedError, match="'w'"):
        unpack_masks({**pack_masks({"w": torch.ones(9, dtype=torch.bool)}), **change})
