"""What the examples prune: a small network, trained on scikit-learn's digits in two seconds."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset


def network(seed: int = 0) -> nn.Sequential:
    """Make the network, with fresh weights."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU()),
        *(nn.Conv2d(48, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        *(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def data() -> tuple[TensorDataset, TensorDataset]:
    """Return 1400 images to train on and 397 to test on, [1, 8, 8] in [0, 1]."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target)
    return TensorDataset(images[:1400], labels[:1400]), TensorDataset(images[1400:], labels[1400:])


def trained(epochs: int = 6, seed: int = 0) -> nn.Sequential:
    """Train the network by a loop that knows nothing of autoprune."""
    model, (images, labels) = network(seed), data()[0].tensors
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(labels), generator=generator), 64):
            optimizer.zero_grad()
            cross_entropy(model(images[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model.eval()


def accuracy(model: nn.Module) -> float:
    """Return the accuracy on the test images."""
    images, labels = data()[1].tensors
    with torch.no_grad():
        right: Tensor = model.eval()(images).argmax(1) == labels
    return float(right.float().mean())
