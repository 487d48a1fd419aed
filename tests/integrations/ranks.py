"""One of two processes that train a network together: python -m tests.integrations.ranks RANK DIR.

The ranks prefer other units. Writes what became of the network: ranks.RANK.json in DIR.
"""

import json
import sys
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from autoprune.integrations.gradual import GradualPruner, Rounds
from tests.integrations.loops import network, samples


def main(rank: int, place: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2
    )

    def own_first(model, structure):
        sizes = {group.name: torch.arange(group.size) for group in structure.groups}
        return {name: units if rank else -units for name, units in sizes.items()}

    model, (images, labels) = network(), samples()
    wrapped, parameters = DistributedDataParallel(model), [*model.parameters()]
    optimizer = torch.optim.Adam(wrapped.parameters(), 0.02)
    pruner = GradualPruner(Rounds("0.5flops", at=3, ranking=own_first), images[:2])
    for step in range(25):
        rows = torch.arange(32) + 32 * (step % 3)
        rows = rows[rank::2]
        optimizer.zero_grad()
        cross_entropy(wrapped(images[rows]), labels[rows]).backward()
        optimizer.step()
        pruner.step(model, [optimizer], step + 1)
    same = all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    zeros = (model[0].weight.flatten(1) == 0).all(1).tolist()
    with torch.no_grad():
        held = model.eval()(images)
        pruner.finish(model)
        error = float((model(images) - held).abs().max())
    facts = {
        "same": same,
        "zeros": zeros,
        "error": error,
        "loss": float(cross_entropy(held, labels)),
        "plan": dict(pruner.plan),
        "widths": [model[0].out_channels, model[3].out_channels],
        "weights": model[0].weight.flatten().tolist(),
    }
    (place / f"ranks.{rank}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
