"""Measures of finished networks: cost by arithmetic, latency by an interleaved race."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

import torch
from torch import nn

from autoprune.data import Split
from autoprune.execution import device_of, forward, mode, move
from autoprune.task import Task

BATCH = 64
ROUNDS = 9


def latencies(networks: Sequence[nn.Module], split: Split, task: Task) -> list[float]:
    """Return milliseconds per sample of each network, in batches of up to 64.

    The networks take turns, so that a machine that slows down slows all of them; the figure is the
    median over the rounds after a warm-up. Float32, in evaluation mode.
    """
    device = device_of(networks[0])
    batch = move(next(split.batches(BATCH)), device)
    size = min(BATCH, len(split))
    times: list[list[float]] = [[] for _ in networks]
    for turn in range(ROUNDS + 1):
        for place, network in enumerate(networks):
            with torch.inference_mode(), mode(network, train=False):
                elapsed = _timed(network, task, batch, device)
            if turn:
                times[place].append(1000 * elapsed / size)
    return [median(values) for values in times]


def _timed(network: nn.Module, task: Task, batch: object, device: torch.device) -> float:
    start = time.perf_counter()
    forward(network, task, batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
