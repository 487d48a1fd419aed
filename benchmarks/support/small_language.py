"""A small language model of bytes, trained on the source of Python's standard library."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path
from typing import Any, Final

import torch

from autoprune.data import Data

LENGTH: Final = 128
MEGABYTES: Final = 6


def corpus(file: Path) -> Path:
    """Write modules of the standard library, without tests, in a fixed order, 6 MB of them."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = [
        path
        for path in sorted(root.rglob("*.py"))
        if not {"site-packages", "test", "tests", "idlelib", "encodings"} & set(path.parts)
    ]
    random.Random(0).shuffle(found)  # noqa: S311 (an order, no secret)
    file.write_bytes(b"\n".join(path.read_bytes() for path in found)[: MEGABYTES * 10**6])
    return file


def model() -> Any:
    """Return a Llama-like model with grouped queries and fresh weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=256,
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=4,
            max_position_embeddings=LENGTH,
            use_cache=False,
        )
    )


def train(data: Data, steps: int, batch: int = 16, rate: float = 2e-3) -> Any:
    """Train for so many steps of AdamW, a warm-up and a cosine."""
    net = model().train()
    optimizer = torch.optim.AdamW(net.parameters(), rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.05)
    step, epoch = 0, 0
    while step < steps:
        for one in data.train.batches(batch, seed=epoch):
            loss = net(one["input_ids"], labels=one["input_ids"]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            step += 1
            if step % 100 == 0:
                print(f"step {step} of {steps}, loss {float(loss.detach()):.3f}", flush=True)
            if step == steps:
                break
        epoch += 1
    return net.eval()
