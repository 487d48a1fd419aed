"""What the processes of a team do in tests; they import it by name."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from autoprune.commands.train.team import Received
from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.foundation.launch import Launch
from autoprune.training.config import FitConfig
from autoprune.training.distributed import joined
from autoprune.training.loop import fit

HOW = FitConfig(epochs=2, batch_size=7, learning_rate=0.05, precision="float32", augment=False)


def network() -> nn.Module:
    """Make a network with batch norms, one of them over all places, and a part that stays."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 8),
        nn.BatchNorm1d(8, momentum=None),
        nn.Linear(8, 3),
    )


def images() -> Split:
    """Make 31 images: the last batch of an epoch is no longer than the others."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(31, 2, 5, 5, generator=generator)
    return Split((x, torch.randint(0, 3, (31,), generator=generator)))


def masks() -> dict[str, Tensor]:
    """Remove a third of a layer's weights."""
    return {"4.weight": torch.arange(8 * 54).reshape(8, 54) % 3 > 0}


def train(rank: int, size: int, port: int, state: Mapping[str, Tensor] | None, folder: str) -> None:
    """Train from a state as one of several processes, and leave the weights in a folder."""
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
    }
    launch, model = Launch(rank, size, rank, size), network()
    with joined(launch, torch.device("cpu")) as team:
        assert team is not None
        if launch.leads:
            start = Received(state) if state else None
            fit(model, images(), Classification(), HOW, masks=masks(), checkpoint=start, team=team)
            team.end(b"the result")
        else:
            told = team.listen()
            assert not isinstance(told, bytes)
            given = Received(told)
            fit(model, images(), Classification(), HOW, masks=masks(), checkpoint=given, team=team)
            assert team.listen() == b"the result"
    save_file(model.state_dict(), f"{folder}/{rank}.safetensors")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
