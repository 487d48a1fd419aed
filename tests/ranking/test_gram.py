"""Input patches and Gram matrices."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoprune.data import Split
from autoprune.errors import UsageError
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.gram import RegressionConfig, collect
from autoprune.ranking.patches import patches
from autoprune.ranking.rank import rank
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from tests.small_nets import TASK, images


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(3, 4, 3, padding=2, dilation=2), (5, 3, 9)),
        (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (5, 3, 7, 6)),
        (nn.Conv2d(3, 4, 3, padding="same", padding_mode="circular"), (5, 3, 7, 6)),
        (nn.Conv2d(3, 4, 3, padding="same"), (3, 7, 6)),
        (nn.Conv3d(2, 4, 2, padding=1), (3, 2, 4, 3, 5)),
        (nn.Linear(6, 4), (3, 5, 6)),
    ],
)
def test_patches_times_weights_are_the_output(module: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    rows = patches(module, x, 10**6, torch.Generator())
    found = rows @ module.weight.flatten(1).T + module.bias
    channels = -1 if isinstance(module, nn.Linear) else -1 - len(module.kernel_size)
    expected = module(x).movedim(channels, -1).reshape(-1, 4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_sampled_patches_are_some_of_all() -> None:
    module, x = nn.Conv2d(3, 4, 3, padding=1), torch.randn(4, 3, 6, 6)
    everything = {tuple(row) for row in patches(module, x, 10**6, torch.Generator()).tolist()}
    some = patches(module, x, 50, torch.Generator().manual_seed(0)).tolist()
    assert len(some) == 50
    assert len({tuple(row) for row in some}) == 50
    assert {tuple(row) for row in some} <= everything


@pytest.mark.parametrize("panel", [7, 1000])
def test_gram_matrices_are_those_of_all_patches(
    plain_net: tuple[nn.Module, Structure], panel: int
) -> None:
    model, structure = plain_net
    data = images()
    small = RegressionConfig(batch=7, rows=10**9, panel=panel)
    moments = collect(model, find_consumers(model, structure), TASK, data, small)
    found = {item.consumer.tensor: item for item in moments}
    assert set(found) == {"b.weight", "head.weight"}
    with torch.no_grad():
        x = F.relu(model.bn(model.a(data.content[0])))
        rows = F.unfold(x, 3, stride=2, padding=1).transpose(1, 2).reshape(-1, 108)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], 1).double()
    torch.testing.assert_close(
        found["b.weight"].gram, rows.T @ rows / len(rows), rtol=1e-4, atol=1e-5
    )
    assert found["b.weight"].consumer.bias is None
    assert found["head.weight"].consumer.bias == "head.bias"
    assert found["head.weight"].consumer.groups["b"].shape == (10, 9)


def test_overflowing_activations_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 3), nn.Linear(3, 2))
    structure = analyze(model, torch.randn(2, 2))
    model[0].weight.data.fill_(1e30)
    data = Split((torch.full((4, 2), 1e30), torch.zeros(4, dtype=torch.int64)))
    with pytest.raises(UsageError, match=r"input of '1.weight' is NaN or infinite"):
        rank(model, structure, "regression", task=TASK, calibration=data)
