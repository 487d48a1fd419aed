"""Cost of a network by layer: MACs, parameters, bytes, energy and measured time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from autoprune.commands.profile.config import ProfileConfig
from autoprune.commands.profile.result import LayerCost, Profile
from autoprune.cost.energy import EnergyTable, energy_products
from autoprune.cost.latency.backends import check_backend, find_backend
from autoprune.cost.latency.deployed import deployed, samples_in
from autoprune.cost.latency.layers import module_times, operation_times
from autoprune.cost.model import CostModel
from autoprune.data import load_data
from autoprune.data.named_task import resolve_task
from autoprune.foundation.progress import Progress
from autoprune.networks.analysis import analyze_for
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.execution import move
from autoprune.networks.spec import resolve_model
from autoprune.networks.weights import load_weights
from autoprune.pipeline.inputs import on_device, resolve_device
from autoprune.structure.table import Layer, Structure, TensorInfo

OTHER: Final = "everything else"


def run_profile(config: ProfileConfig, progress: Progress) -> Profile:
    """Carry out ``autoprune profile``; raises AutopruneError for errors that a user can fix."""
    table = EnergyTable.read(config.energy) if config.energy else EnergyTable()
    check_backend(config.backend)
    device, task = resolve_device(config.device), resolve_task(config.task)
    with progress.phase("profile", 2) as phase:
        data = load_data(config.data, resize=config.resize)
        model = resolve_model(str(config.model), data)
        if config.weights is not None:
            load_weights(model, config.weights)
        model.to(device)
        check_compatible(model, data, task)
        example = on_device(data.example(task), device)
        structure = analyze_for(task, model, example, config.outputs)
        phase.advance()
        batch = move(next(data.train.batches(config.latency_batch)), device)
        names = {layer.module for layer in structure.layers}
        backend = find_backend(config.backend, model, task, batch)
        if config.backend == "torch":
            with deployed(model, task, batch, backend.form) as network:
                [(parts, whole)] = module_times([network], names, device)
        else:
            parts, whole = operation_times(backend, model, task, batch, names)
        phase.advance()
    size = samples_in(batch)
    spent = {name: 1000 * seconds / size for name, seconds in parts.items()}
    total = 1000 * whole / size
    return profile(
        structure,
        table,
        spent,
        total,
        batch=size,
        device=f"{device}, {backend.name}",
        model=str(config.model),
        data=config.data,
    )


def profile(
    structure: Structure,
    table: EnergyTable,
    spent: dict[str, float],
    total: float,
    *,
    batch: int,
    device: str,
    model: str,
    data: str,
) -> Profile:
    """Return costs by module; ``spent`` and ``total`` are milliseconds per sample."""
    layers: dict[str, list[Layer]] = defaultdict(list)
    for layer in structure.layers:
        layers[layer.module].append(layer)
    tensors: dict[str, list[TensorInfo]] = defaultdict(list)
    for info in structure.tensors:
        owner = info.name.rpartition(".")[0]
        tensors[owner if owner in layers else OTHER].append(info)
    rows = [
        _layer_cost(structure, table, name, own_layers, tensors[name], spent.get(name))
        for name, own_layers in layers.items()
    ]
    rest = max(0.0, total - sum(row.milliseconds or 0.0 for row in rows))
    return Profile(
        model=model,
        data=data,
        layers=tuple(rows),
        other=_layer_cost(structure, table, OTHER, [], tensors[OTHER], rest),
        total=_layer_cost(structure, table, "total", structure.layers, structure.tensors, total),
        batch=batch,
        device=device,
        assumptions=table.lines(),
    )


def _layer_cost(
    structure: Structure,
    table: EnergyTable,
    name: str,
    layers: Sequence[Layer],
    tensors: Sequence[TensorInfo],
    milliseconds: float | None,
) -> LayerCost:
    part = Structure(structure.groups, (), tuple(layers), {}, tuple(tensors), {}, {})
    cost, sizes = CostModel(part, table), structure.sizes
    energy = sum(product(sizes) for product in energy_products(layers, tensors, table))
    return LayerCost(
        name=name or "(the model itself)",
        kind="/".join(dict.fromkeys(layer.kind for layer in layers)) if name != "total" else "",
        macs=cost.macs.dense,
        parameters=cost.parameters.dense,
        bytes=cost.bytes.dense,
        activations=sum(layer.reads(sizes) + layer.writes(sizes) for layer in layers),
        milliseconds=milliseconds,
        picojoules=energy / 1000,
    )
