"""Alignment of widths."""

import torch

from autoprune.cost.latency import finer, portable_steps, width_steps
from autoprune.structure.table import Extent, Group, Layer, Product, Structure
from tests.synthetic import chain
from tests.timed_net import CPU


def test_widths_are_aligned_to_the_device_but_small_groups_keep_four(monkeypatch):
    capability = "torch.backends.cpu.get_cpu_capability"
    monkeypatch.setattr(capability, lambda: "AVX512")
    assert width_steps([512, 64, 32, 16, 12, 3], CPU) == (16, 16, 8, 4, 2, 1)
    monkeypatch.setattr(capability, lambda: "AVX2")
    assert width_steps([512, 32, 16], CPU) == (8, 8, 4)
    assert width_steps([512], torch.device("cuda")) == (8,)


def test_default_steps_are_the_same_on_every_machine_and_fill_vectors():
    assert portable_steps(chain([512, 64, 32, 31, 16, 15, 8, 3])) == (8, 8, 8, 4, 4, 1, 1, 1)
    assert finer((8, 4, 1)) == (4, 2, 1)


def test_a_unit_of_many_channels_needs_fewer_of_them():
    heads, pairs = Extent(0, (("heads", 64),)), Extent(0, (("pairs", 2),))
    structure = Structure(
        (Group("heads", 32, "linear"), Group("pairs", 64, "conv"), Group("gone", 1, "branch")),
        (),
        (Layer("m", "linear", None, (Product(1, (heads, pairs)),)),),
        {},
        (),
        {},
        {},
    )
    assert portable_steps(structure) == (1, 4, 1)
