"""GRAIL: repair of the layers that read pruned units, from Gram matrices of the dense network.

Tang et al. 2026, arXiv:2602.23795: with G = X'X of the dense layer's inputs X, [positions, inputs],
and P the inputs that stay, a ridge regression rebuilds all of them from those that stay,

    B = G[:, P] (G[P, P] + lambda I)^-1,    lambda = 1e-3 * mean(diag(G[P, P])),

and the layer that reads them gets the weights W B. The positions of a kernel share one B. Nothing
else changes, but for batch-norm statistics, which every row of ours gets in the same way.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, forward, mode

RIDGE = 1e-3
BATCH = 128


class Grams:
    """Gram matrices of the inputs of all dense layers and convolutions of one group."""

    def __init__(self, model: nn.Module, task: Task, samples: Samples) -> None:
        self._model = model
        self._found: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_pre_hook(
                lambda module, args, path=path: self._see(path, module, args[0])
            )
            for path, module in model.named_modules()
            if isinstance(module, nn.Linear)
            or (isinstance(module, nn.Conv2d) and module.groups == 1)
        ]
        with torch.no_grad(), mode(model, train=False):
            for batch in Batches(samples, BATCH, model, Form(), seed=0):
                forward(model, task, batch)
        for hook in hooks:
            hook.remove()

    def _see(self, path: str, module: nn.Module, inputs: Tensor) -> None:
        rows = inputs.flatten(2).transpose(1, 2) if isinstance(module, nn.Conv2d) else inputs
        rows = rows.reshape(-1, rows.shape[-1]).double()
        self._found[path] = self._found.get(path, 0) + rows.T @ rows

    def repaired(self, indices: Mapping[tuple[str, int], Tensor]) -> dict[str, Tensor]:
        """Return weights in their dense shape, those of inputs that stay repaired.

        ``indices``: what stays along each (tensor, dim), as ``Slicer.indices`` returns it.
        """
        weights = {}
        for path, gram in self._found.items():
            name = f"{path}.weight"
            kept = indices.get((name, 1))
            if kept is None:
                continue
            inner = gram[kept][:, kept]
            ridge = RIDGE * inner.diagonal().mean() + 1e-12
            mapped = torch.linalg.solve(inner + ridge * torch.eye(len(kept)), gram[kept]).T
            weight = self._model.get_parameter(name).detach().double()
            result = weight.clone()
            result[:, kept] = torch.einsum("oh...,hk->ok...", weight, mapped)
            weights[name] = result.to(self._model.get_parameter(name).dtype)
        return weights

    def scaled(self) -> nn.Module:
        """Return a twin whose weights are multiplied by the norms of their inputs.

        Magnitudes of its weights are the scores of Wanda (Sun et al. 2023, arXiv:2306.11695,
        equation 1) of the network's.
        """
        twin = copy.deepcopy(self._model)
        with torch.no_grad():
            for path, gram in self._found.items():
                weight = twin.get_parameter(f"{path}.weight")
                norms = gram.diagonal().sqrt().to(weight.dtype)
                weight.mul_(norms.view(1, -1, *[1] * (weight.dim() - 2)))
        return twin
