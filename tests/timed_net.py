"""A network of many operations, and short timings, for the tests of latency."""

import torch
from torch import nn

from autoprune.cost.choices import allowed_counts
from autoprune.cost.latency.clock import TimingConfig
from autoprune.data.classification import Classification
from autoprune.structure.analyze import analyze

TASK = Classification()


CPU = torch.device("cpu")


class Mixed(nn.Module):
    """Convolutions with one another's channels joined, a depthwise one, a linear layer."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(1, 8, 1)
        self.deep = nn.Conv2d(20, 20, 3, groups=20)
        self.norm, self.out = nn.BatchNorm2d(20), nn.Linear(20 * 36, 5)

    def forward(self, x):
        both = torch.cat([torch.relu(self.one(x)), self.two(x)], 1)
        return self.out(self.norm(self.deep(both)).flatten(1))


def batch(samples=4):
    torch.manual_seed(0)
    return torch.randn(samples, 1, 8, 8), torch.zeros(samples, dtype=torch.long)


QUICK = TimingConfig(fewest=9, most=200, seconds=0.1)


def of(make, steps=4):
    torch.manual_seed(0)
    model = make().eval()
    structure = analyze(model, batch()[0])
    return (
        model,
        structure,
        allowed_counts(structure.groups, [steps] * len(structure.sizes)),
    )
