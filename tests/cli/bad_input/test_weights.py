"""Weights that do not fit, are damaged, or carry code."""

from pathlib import Path

import pytest
import torch

from tests.complaints import (
    DAMAGED,
    command,
    complaint,
    untouched,
)


def test_weights_that_do_not_fit(place, capsys):
    for name, found in {
        "wide": "bn1.bias has shape [12], the model's has [8]",
        "flat": "9 missing, first conv1.weight; 4 unexpected",
        "nan": "conv2.weight holds NaN",
    }.items():
        arguments = command(weights=f"{name}.safetensors")
        assert found in complaint(capsys, arguments, DAMAGED)
    whole = (place / "build.safetensors").read_bytes()
    (place / "torn.safetensors").write_bytes(whole[:-10])
    (place / "torn.pt").write_bytes(whole[:-10])
    for name in ("torn.safetensors", "torn.pt"):
        assert name in complaint(capsys, command(weights=name), DAMAGED)
    assert untouched(place)


class Sentinel:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("name", ["evil.pt", "evil.safetensors"])
def test_code_in_a_checkpoint_is_not_run(name, place, capsys):
    torch.save({"state_dict": Sentinel()}, place / name)
    assert "not " in complaint(capsys, command(weights=name), DAMAGED)
    assert not (place / "executed").exists()
    assert untouched(place)
