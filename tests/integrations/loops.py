"""A network, data, and a training loop that knows nothing of pruning."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 4)),
    )


def samples(count=96, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    images = torch.randn(count, 1, 6, 6, generator=generator)
    images[torch.arange(count), :, labels] += 2
    return images, labels


def train(model, optimizer, pruner, steps):
    """Train on batches of 32; the pruner is told of every step."""
    images, labels = samples()
    pruner.step(model, [optimizer], 0)
    for step in range(steps):
        rows = torch.arange(32) + 32 * (step % 3)
        optimizer.zero_grad()
        cross_entropy(model(images[rows]), labels[rows]).backward()
        optimizer.step()
        pruner.step(model, [optimizer], step + 1)
    pruner.finish(model)
    with torch.no_grad():
        return float(cross_entropy(model.eval()(images), labels))
