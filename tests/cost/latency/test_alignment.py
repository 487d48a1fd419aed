"""Alignment of widths."""

import torch

from autoprune.cost.latency import width_steps
from tests.timed_net import CPU


def test_widths_are_aligned_to_the_device_but_small_groups_keep_four(monkeypatch):
    capability = "torch.backends.cpu.get_cpu_capability"
    monkeypatch.setattr(capability, lambda: "AVX512")
    assert width_steps([512, 64, 32, 16, 12, 3], CPU) == (16, 16, 8, 4, 2, 1)
    monkeypatch.setattr(capability, lambda: "AVX2")
    assert width_steps([512, 32, 16], CPU) == (8, 8, 4)
    assert width_steps([512], torch.device("cuda")) == (8,)
