"""What masks cost in training: the same loop with and without them, on made-up data.

python benchmarks/masked.py [--rounds 9] [--write]
"""

from __future__ import annotations

import time
from statistics import median

import torch
from support.reporting import parser, report

from autoprune.commands.ticket.masks import full_masks, prune_by_layer
from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.networks.spec import ModelSpec
from autoprune.training.config import FitConfig
from autoprune.training.loop import fit

AIM = 1.1
CASES = (
    ("lenet-300-100", (1, 28), FitConfig(steps=150, batch_size=60, optimizer="adamw")),
    ("resnet20", (3, 32), FitConfig(steps=4, batch_size=128)),
)


def main() -> None:
    """Train in turns and report milliseconds per iteration."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=9)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = []
    for name, (channels, size), config in CASES:
        network = ModelSpec(name, {"channels": channels}).build()
        masks = prune_by_layer(dict(network.named_parameters()), full_masks(network), 0.8)
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(1024, channels, size, size, generator=generator)
        split = Split((images, torch.randint(10, (1024,), generator=generator)))
        steps = config.length(len(split))
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(chosen.rounds):
            for masked in (False, True):
                began = time.perf_counter()
                fit(network, split, Classification(), config, masks=masks if masked else None)
                times[masked].append(1000 * (time.perf_counter() - began) / steps)
        plain, masked_ms = (median(times[masked]) for masked in (False, True))
        ratios = [b / a for a, b in zip(times[False], times[True], strict=True)]
        rows.append(
            {
                "network": name,
                "dense loop": f"{plain:.2f} ms",
                "masked loop": f"{masked_ms:.2f} ms",
                "ratio (median of pairs)": f"{median(ratios):.3f}",
                "aim": f"<= {AIM}",
                "met": "yes" if median(ratios) <= AIM else "no",
            }
        )
    report(
        "masked",
        "Training with masks against training without",
        rows,
        [
            f"Time per iteration of the whole loop; 80 % of every layer masked; {chosen.rounds}"
            " rounds in turns."
        ],
        chosen.write,
    )


if __name__ == "__main__":
    main()
