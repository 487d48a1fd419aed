"""Random plans of a structure."""

import torch

from autoprune.structure.plan import Plan


def plans(structure, number):
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(number, len(structure.groups), generator=generator) * 0.6 + 0.4
    return [
        Plan.of(
            {
                group.name: max(1, round(group.size * float(part)))
                for group, part in zip(structure.groups, row, strict=True)
            }
        )
        for row in share
    ]
