"""Costs that the layers of a structure say, counted on compact networks."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from autoprune.cost.model import CostModel
from autoprune.problem.prune import prune
from autoprune.structure.graph import as_call, call, slow_attention
from autoprune.structure.plan import Plan
from tests.families import Case


def test_cost_equals_count_on_compact_model(case: Case) -> None:
    _, model, inputs, structure = case
    cost, plan = CostModel(structure), Plan.uniform(structure, 0.5)
    compact = prune(model, structure, plan)
    assert cost.parameters(plan) == sum(p.numel() for p in compact.parameters())
    state = [*compact.parameters(), *compact.buffers()]
    assert cost.bytes(plan) == sum(t.numel() * t.element_size() for t in state)
    assert cost.macs(plan) == count_macs(compact, inputs)


def count_macs(model: nn.Module, inputs: object) -> int:
    """Count with PyTorch's own flop counter, and the LSTM, whose kernel it skips, by hand."""
    total = 0

    def recurrent_macs(module: nn.Module, args: tuple[Tensor, ...], _: object) -> None:
        nonlocal total
        rows = args[0].numel() // args[0].shape[-1]
        matrices = (w for n, w in module.named_parameters() if n.startswith("weight"))
        total += rows * sum(weight.numel() for weight in matrices)

    hooks = [
        module.register_forward_hook(recurrent_macs)
        for module in model.modules()
        if isinstance(module, nn.LSTM)
    ]
    # Fused attention kernels of the CPU are unknown to the counter: spell the products out.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), slow_attention():
        with sdpa_kernel(SDPBackend.MATH):
            call(model, inputs)
    for hook in hooks:
        hook.remove()
    batch = next(leaf for leaf in tree_leaves(as_call(inputs)) if isinstance(leaf, Tensor)).shape[0]
    return (counter.get_total_flops() // 2 + total) // batch
