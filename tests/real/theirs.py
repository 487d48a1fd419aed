"""A real network pruned to one half by torch-pruning, as its documentation and examples do it."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.structure.graph import call

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what numpy and torch have deprecated
    import torch_pruning

_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head")
_JOINED = ("qkv", "query_key_value", "c_attn")
_ALONE = ("q", "k", "v", "query", "key", "value", "q_proj", "k_proj", "v_proj", "q_lin", "k_lin",
          "v_lin")  # fmt: skip


def halve(model: nn.Module, inputs: Any, heads: tuple[nn.Module, ...]) -> nn.Module:
    """Prune a network in place; ``heads`` are the layers whose units are the output."""
    kinds = {}
    for module in model.modules():
        number = next((vars(module)[name] for name in _HEADS if name in vars(module)), None)
        if isinstance(number, int):
            for name, child in module.named_children():
                if isinstance(child, nn.Linear) and name in (*_JOINED, *_ALONE):
                    kinds[child] = number
    pruner = torch_pruning.pruner.BasePruner(
        model,
        inputs,
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=list(heads),
        num_heads=kinds,
        output_transform=_total,
        forward_fn=call,
    )
    pruner.step()
    _set_sizes(model, kinds)
    return model


def _total(outputs: Any) -> Tensor:
    leaves = [one for one in tree_leaves(outputs) if isinstance(one, Tensor)]
    return torch.stack([one.float().sum() for one in leaves if one.is_floating_point()]).sum()


def _set_sizes(model: nn.Module, kinds: dict[nn.Module, int]) -> None:
    """Set what its examples set by hand: the sizes of heads that attention keeps."""
    for module in model.modules():
        state = vars(module)
        for child in module.children():
            if child in kinds:
                joined = any(module._modules.get(name) is child for name in _JOINED)
                width = child.out_features // (3 if joined else 1)
                for name in ("head_dim", "attention_head_size", "dim_head"):
                    if name in state:
                        state[name] = width // kinds[child]
                for name in ("embed_dim", "all_head_size", "attn_dim", "inner_dim"):
                    if name in state:
                        state[name] = width
