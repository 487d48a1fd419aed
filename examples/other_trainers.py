"""Pruning inside the Trainers of transformers and Lightning, beside our own loop: three seeds.

Every network is trained for eight epochs, and pruned to half of its FLOPs after the fourth.
Needs `pip install 'autoprune[trainers]'`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import sqrt
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch
from digits import accuracy, data, network, trained
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import autoprune

EPOCHS, BATCH, RATE = 4, 64, 0.005
STEPS = EPOCHS * -(-1400 // BATCH)
SEEDS = (0, 1, 2)


def ours(seed: int) -> float:
    """Prune and fine-tune by autoprune, without a search."""
    with TemporaryDirectory() as place:
        result = autoprune.search(
            trained(EPOCHS, seed),
            data(),
            "0.5flops",
            searcher="uniform",
            ranking="l1",
            evaluations=1,
            finetune_epochs=EPOCHS,
            seed=seed,
            run=f"{place}/run",
            progress=False,
        )
    return result.finetuned.score


def by_transformers(seed: int) -> float:
    """Train and prune by the Trainer of transformers."""
    from transformers import Trainer, TrainingArguments

    from autoprune.integrations.transformers import PruningCallback

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network(seed)

        def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.net(images)
            return {"loss": cross_entropy(logits, labels), "logits": logits}

    images, labels = data()[0].tensors
    rows = [{"images": one, "labels": label} for one, label in zip(images, labels, strict=True)]
    model, example = Net(), {"images": images[:2], "labels": labels[:2]}
    with TemporaryDirectory() as place:
        arguments = TrainingArguments(
            place,
            num_train_epochs=2 * EPOCHS,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=True,
            seed=seed,
        )
        callback = PruningCallback("0.5flops", example_inputs=example, at=STEPS)
        Trainer(model, arguments, train_dataset=rows, callbacks=[callback]).train()
    return accuracy(model.net)


def by_lightning(seed: int) -> float:
    """Train and prune by the Trainer of Lightning."""
    import pytorch_lightning as lightning

    from autoprune.integrations.lightning import PruningCallback

    class Net(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = network(seed)

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.net.parameters(), RATE)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(seed, verbose=False)
    module, train_set = Net(), data()[0]
    callback = PruningCallback(
        "0.5flops", example_inputs=train_set.tensors[0][:2], network="net", at=STEPS
    )
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(
        max_epochs=2 * EPOCHS, accelerator="cpu", callbacks=[callback], **quiet
    )
    trainer.fit(module, DataLoader(train_set, BATCH, shuffle=True))
    return accuracy(module.net)


def interval(scores: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean of three, by Student's t."""
    half = 4.303 * stdev(scores) / sqrt(len(scores))
    return mean(scores) - half, mean(scores) + half


def scores_of(*ways: Callable[[int], float]) -> dict[str, list[float]]:
    """Return the accuracies of each way, a score per seed."""
    return {way.__name__: [way(seed) for seed in SEEDS] for way in ways}


if __name__ == "__main__":
    for name, scores in scores_of(ours, by_transformers, by_lightning).items():
        low, high = interval(scores)
        print(f"{name}: {mean(scores):.4f}, 95 % interval [{low:.4f}, {high:.4f}]")
