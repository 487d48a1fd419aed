"""A network and data of a user's, so small that whole searches take a second."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

from autoprune.foundation import user_code as factories

TEXT = '''
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.conv2(self.bn1(self.conv1(x)).relu()).relu().mean((2, 3)))


def build():
    return Tiny()


def make(count, seed, size=8):
    """Stripes of four directions under noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = torch.stack([row, column, row + column, row - column]) * 1.6
    clean = torch.sin(waves.float())[labels, None]
    return clean + 1.6 * torch.randn(count, 1, size, size, generator=generator), labels


def stripes():
    return make(400, 0), make(100, 1)


def larger():
    return make(40, 0, size=9), make(20, 1, size=9)
'''

WORDS = {"model": "tiny.py:build", "weights": "tiny.safetensors", "data": "tiny.py:stripes"}


def write(place: Path) -> None:
    """Write tiny.py, and the weights of its trained network."""
    (place / "tiny.py").write_text(TEXT.lstrip())
    torch.manual_seed(0)
    model = factories.load(f"{place}/tiny.py:build")[0]()
    (images, labels), _ = factories.load(f"{place}/tiny.py:stripes")[0]()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
    save_file(model.state_dict(), place / "tiny.safetensors")
