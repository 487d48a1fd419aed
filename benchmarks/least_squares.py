"""Least squares from a cached Gram matrix beside scikit-learn on the rows, as AMC solves it.

AMC (He et al. 2018, its repository's env/channel_pruning_env.py) fits
LinearRegression(fit_intercept=False) on 30,000 rows for every layer of every episode. Here both
solve 3x3 layers of CIFAR ResNets for random halves of the input channels. The Gram matrix is made
once per layer; what it costs is listed. scikit-learn's solver is slow by itself (a singular value
decomposition), so normal equations on the same rows, a few lines of numpy, stand beside it.

python benchmarks/least_squares.py [--write]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LinearRegression
from support.reporting import parser, report
from torch import Tensor

from autoprune.ranking.repair import least_squares

ROWS, ROUNDS = 30_000, 5
CHANNELS = (16, 32, 64)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(options.threads)
    rows = [layer(channels) for channels in CHANNELS]
    notes = [
        f"{ROWS:,} rows of 3x3 patches, float32 rows, float64 Gram matrices; medians of {ROUNDS}",
        "halves of the channels, interleaved, seconds of the processor. Aim: ratio >= 100,",
        "agreement <= 1e-4 (largest difference of weights, relative to the largest weight).",
    ]
    report(
        "least_squares", "Least squares per layer and plan", rows, notes, options.write, "float32"
    )


def layer(channels: int) -> dict[str, Any]:
    """Compare both on a layer of ``channels`` inputs and outputs."""
    generator = torch.Generator().manual_seed(channels)
    patches = correlated(channels * 9, generator)
    weights = torch.randn(channels * 9, channels, generator=generator) / (9 * channels) ** 0.5
    outputs = patches @ weights
    start = time.process_time()
    gram = (patches.T @ patches).double() / ROWS
    products = gram @ weights.double()
    once = time.process_time() - start
    seconds: dict[str, list[float]] = {"ours": [], "theirs": [], "normal": []}
    differences, normal = [], []
    for _ in range(ROUNDS):
        half = torch.randperm(channels, generator=generator)[: channels // 2].sort().values
        kept = (half[:, None] * 9 + torch.arange(9)).ravel()
        found, took = timed(lambda kept=kept: least_squares(gram, products, kept))
        seconds["ours"].append(took)
        expected, took = timed(lambda kept=kept: as_amc(patches[:, kept], outputs))
        seconds["theirs"].append(took)
        differences.append(float((found - expected).abs().max() / expected.abs().max()))
        other, took = timed(lambda kept=kept: normal_equations(patches[:, kept], outputs))
        seconds["normal"].append(took)
        normal.append(float((other - expected).abs().max() / expected.abs().max()))
    ours, theirs, equations = (median(seconds[name]) for name in ("ours", "theirs", "normal"))
    return {
        "layer": f"{channels} -> {channels}, 3x3",
        "Gram matrix, once": f"{1000 * once:.1f} ms",
        "from it": f"{1000 * ours:.2f} ms",
        "scikit-learn": f"{1000 * theirs:.0f} ms",
        "ratio": f"{theirs / ours:.0f}x",
        "agreement": f"{max(differences):.1e}",
        "normal equations": f"{1000 * equations:.1f} ms",
        "ratio to them": f"{equations / ours:.0f}x",
        "their agreement": f"{max(normal):.1e}",
    }


def correlated(columns: int, generator: torch.Generator) -> Tensor:
    """Rectified, correlated rows [ROWS, columns], as the inputs of a convolution are."""
    mix = torch.randn(columns, columns, generator=generator) / columns**0.5
    return torch.relu(torch.randn(ROWS, columns, generator=generator) @ mix + 0.5)


def as_amc(rows: Tensor, outputs: Tensor) -> Tensor:
    """Solve as AMC's repository does."""
    fit = LinearRegression(fit_intercept=False).fit(rows.numpy(), outputs.numpy())
    return torch.from_numpy(fit.coef_).double().T


def normal_equations(rows: Tensor, outputs: Tensor) -> Tensor:
    """Solve from X'X and X'Y of the same rows, in their precision; then in float64."""
    x, y = rows.numpy(), outputs.numpy()
    gram, right = (x.T @ x).astype(np.float64), (x.T @ y).astype(np.float64)
    return torch.from_numpy(np.linalg.solve(gram, right))


def timed(call: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Return the result and the seconds it took."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


if __name__ == "__main__":
    main()
