"""A network with every kind of layer, plans of it, and an independent count of its MACs."""

import torch
from torch import nn

from autoprune.structure.slicing import Slicer


class Mixed(nn.Module):
    """Convolutions (grouped, strided, one too short for blocks), an LSTM, a layer used twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16)
        self.grouped = nn.Conv2d(16, 24, 3, padding=1, groups=2)
        self.short = nn.Conv2d(1, 2, (1, 3))
        self.lstm = nn.LSTM(24, 12, batch_first=True, bidirectional=True)
        self.shared = nn.Linear(24, 24)
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = self.grouped(self.depthwise(self.norm(self.stem(x)).relu()).relu()).relu()
        x = self.lstm(x.mean(2).transpose(1, 2))[0]
        y = self.short(x.unsqueeze(1)).sum((1, 3))
        return self.head(self.shared(self.shared(x).relu()).mean(1)) + y.mean(1, keepdim=True)


PATTERNS = ("weight", "2:4", "1:4", "3:8")


def plan_at(units, fractions):
    groups = units.decisions.groups
    counts = [1 + round((g.size - 1) * f) for g, f in zip(groups, fractions, strict=True)]
    return units.cost.plan(counts)


def masked(net, units, ranking, plan):
    return Slicer(net, units.structure).build(ranking.kept(plan), ranking.weights(plan))


@torch.no_grad()
def counted_macs(model, batch=2):
    """Multiply-adds by weights that are not zero, per sample, counted while the model runs."""
    total = []

    def conv(module, args, out):
        total.append(int((module.weight != 0).sum()) * out.shape[2] * out.shape[3])

    def linear(module, args, out):
        total.append(int((module.weight != 0).sum()) * out.numel() // out.shape[-1] // batch)

    def lstm(module, args, out):
        weights = [v for name, v in module.named_parameters() if name.startswith("weight")]
        total.append(sum(int((v != 0).sum()) for v in weights) * out[0].shape[1])

    kinds = {nn.Conv2d: conv, nn.Linear: linear, nn.LSTM: lstm}
    hooks = [m.register_forward_hook(kinds[type(m)]) for m in model.modules() if type(m) in kinds]
    model(torch.randn(batch, 3, 8, 8))
    for hook in hooks:
        hook.remove()
    return sum(total)
