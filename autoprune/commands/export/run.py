"""Export of pruned networks for other programs, as files and directories.

Each file is read back and run beside the PyTorch network on real inputs, in batches of several
sizes; a file that computes anything else is removed. The batch dimension stays free. In the end the
network is timed beside the dense one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.commands.export.config import ExportConfig, ExportForm
from autoprune.commands.export.result import TOLERANCE, Exported
from autoprune.cost.latency.onnx import require_onnx
from autoprune.data import Data
from autoprune.data.task import Task, example_inputs
from autoprune.data.text import BYTES, tokenizer_of
from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.files import commit, stage
from autoprune.foundation.progress import Progress
from autoprune.foundation.user_code import blamed
from autoprune.networks import hugging_face
from autoprune.networks.pretrained import from_pretrained, save_pretrained
from autoprune.networks.save import SPEC, WEIGHTS, build_dense, load, named_spec
from autoprune.networks.spec import resolve_model
from autoprune.pipeline.inputs import known_config, of_run
from autoprune.pipeline.speeds import ALIGNED, compared, slower
from autoprune.runs.artifacts import Artifacts
from autoprune.structure.cut_record import recorded_cut
from autoprune.structure.graph import ExampleInputs, as_call, call, quiet

BATCHES: Final = (4, 1, 7)
"""Batch sizes of the check; the network is exported on the first, which must be above 1."""

TIMED: Final = (1, 64)
"""Batch sizes at which the network is timed."""

Outputs = list[Tensor]
Runner = Callable[[ExampleInputs], Outputs]


def run_export(config: ExportConfig, progress: Progress) -> Exported:
    """Carry out ``autoprune export``: write the network of a run to a checked file or directory.

    Raises UsageError for a run without a network, for data that must be named again and for
    packages that are missing, DamagedError for damaged files, AutopruneError for a failed check.
    """
    if config.to == "onnx":
        require_onnx()
    run, path = Path(config.run), config.path
    if not (run / SPEC).is_file():
        raise UsageError(f"{run} holds no pruned network", "give the directory of a finished run")
    with progress.phase("export", 2) as phase:
        data, task = of_run(
            run, config.data, config.task, config.resize, trust_code=config.trust_code
        )
        dense = resolve_model(config.model, data) if config.model else None
        model = load(run, dense, trust_code=config.trust_code)
        batches = [example_inputs(task, next(data.search.batches(size))) for size in BATCHES]
        phase.advance()
        if config.to == "safetensors":
            fresh = resolve_model(config.model, data) if config.model else None
            exported = export_directory(run, path, model, fresh, batches)
        elif config.to == "transformers":
            exported = export_pretrained(model, path, _tokenizer(config), batches)
        else:
            exported = export_file(model, config.to, path, batches)
        phase.advance()
        named = replace(exported, images=data.form, class_names=data.class_names)
        return _timed(named, config, model, data, task, progress.note)


def _timed(
    exported: Exported,
    config: ExportConfig,
    model: nn.Module,
    data: Data,
    task: Task,
    note: Callable[[str], object],
) -> Exported:
    """Time the network beside the dense one, on one sample and on a batch, unless it is masked."""
    made = recorded_cut(model)
    if config.model:
        dense: nn.Module | None = resolve_model(config.model, data)
    else:
        dense = build_dense(config.run, trust_code=config.trust_code)
    if dense is None or not (made.indices or made.removed):
        return exported
    batches = [next(data.search.batches(size)) for size in TIMED]
    speeds = compared(dense.eval(), model, task, batches, note=note)
    aligned = all(len(index) % ALIGNED == 0 for index in made.indices.values())
    return replace(exported, speeds=speeds, slower=tuple(slower(speeds, None, aligned=aligned)))


def export_file(
    model: nn.Module, form: ExportForm, path: Path, batches: Sequence[ExampleInputs]
) -> Exported:
    """Write a network in evaluation mode as ``onnx`` or ``pt2`` and check it on every batch.

    The batches differ in size, the first holds at least two samples. What was at ``path`` stays
    until the new file has passed. Raises UsageError if the network cannot be exported with a free
    batch size, AutopruneError if the file computes something else.
    """
    model = model.eval()
    write, read = {"onnx": (_write_onnx, _read_onnx), "pt2": (_write_pt2, _read_pt2)}[form]
    checked: list[Exported] = []

    def write_and_check(staged: Path) -> None:
        with quiet(), torch.no_grad():
            with blamed(f"the network cannot be exported to {form}"):
                write(_program(model, batches[0]), staged)
            runner = read(staged)
            checked.append(_checked(model, runner, form, staged, batches))

    staged = stage(path, write_and_check)
    commit(staged, path)
    return replace(checked[0], path=path)


def export_directory(
    run: Path,
    path: Path,
    model: nn.Module,
    dense: nn.Module | None,
    batches: Sequence[ExampleInputs],
) -> Exported:
    """Copy only the files that rebuild the network of a run to a directory that ``load`` reads.

    ``dense`` is a network of the same class if the run cannot name one; it is cut in place.
    Raises UsageError if the directory exists and is not empty, AutopruneError if what is loaded
    from it computes something else.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} exists and is not empty", "name another with --output")
    source = Artifacts(run)
    path.mkdir(parents=True, exist_ok=True)
    try:
        target = Artifacts(path)
        for name in (SPEC, WEIGHTS):
            target.publish(name, partial(shutil.copyfile, source.file(name)))
        copy = load(path, dense)
        runner = partial(_outputs, copy)
        with torch.no_grad():
            return _checked(model, runner, "safetensors", path, batches)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def export_pretrained(
    model: nn.Module, path: Path, tokenizer: str | None, batches: Sequence[ExampleInputs]
) -> Exported:
    """Write a model of transformers as a directory, and check what is opened from it.

    Raises UsageError for other models, and if the directory exists and is not empty, AutopruneError
    if what is opened computes something else.
    """
    saved = save_pretrained(model, path, example_inputs=batches[0], tokenizer=tokenizer)
    opened: Any = from_pretrained(path)
    hugging_face.keep_cache(opened, False)  # else it gives out keys and values, too
    try:
        with torch.no_grad():
            done = _checked(model, partial(_outputs, opened), "transformers", path, batches)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return replace(done, opens=str(saved))


def _tokenizer(config: ExportConfig) -> str | None:
    """Return the directory with the tokenizer of a run: that of its text, else of its model."""
    run = Path(config.run)
    text = tokenizer_of(config.data or known_config(Artifacts(run)).get("data") or "")
    if text is not None:
        return None if text == BYTES else text
    spec = named_spec(run)
    library, _, place = (config.model or (spec.factory if spec else "")).partition(":")
    return place.partition(",")[0] if library == hugging_face.NAME else None


def _program(model: nn.Module, inputs: ExampleInputs) -> ExportedProgram:
    args, kwargs = as_call(inputs)
    batch = Dim("batch")

    def free(leaf: object) -> object:
        return {0: batch} if isinstance(leaf, Tensor) and leaf.dim() else None

    shapes = tree_map(free, kwargs or args)
    return torch.export.export(model, args, kwargs, strict=False, dynamic_shapes=shapes)


def _write_pt2(program: ExportedProgram, path: Path) -> None:
    torch.export.save(program, path)


def _read_pt2(path: Path) -> Runner:
    return partial(_outputs, torch.export.load(path).module())


def _write_onnx(program: ExportedProgram, path: Path) -> None:
    torch.onnx.export(program, f=path, dynamo=True, external_data=False, verbose=False)


def _read_onnx(path: Path) -> Runner:
    session = import_module("onnxruntime").InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: ExampleInputs) -> Outputs:
        leaves = [leaf for leaf in tree_leaves(as_call(inputs)) if isinstance(leaf, Tensor)]
        fed = {name: leaf.numpy() for name, leaf in zip(names, leaves, strict=True)}
        return [torch.from_numpy(value) for value in session.run(None, fed)]

    return run


def _outputs(model: nn.Module, inputs: ExampleInputs) -> Outputs:
    return [leaf for leaf in tree_leaves(call(model, inputs)) if isinstance(leaf, Tensor)]


def _checked(
    model: nn.Module,
    runner: Runner,
    form: ExportForm,
    path: Path,
    batches: Sequence[ExampleInputs],
) -> Exported:
    """Compare a written network with the model on every batch; raise AutopruneError if it fails."""
    difference, scale, sizes = 0.0, 0.0, []
    for inputs in batches:
        expected = _outputs(model, inputs)
        with blamed(f"what was written as {form} does not run"):
            outputs = runner(inputs)
        if [tuple(leaf.shape) for leaf in outputs] != [tuple(leaf.shape) for leaf in expected]:
            raise AutopruneError(
                f"the {form} export returns other shapes than PyTorch; it was removed",
                "the forward pass may hold the batch size as a constant",
            )
        for output, target in zip(outputs, expected, strict=True):
            difference = max(difference, _largest_difference(output, target))
            scale = max(scale, float(target.abs().max()))
        sizes.append(_batch_size(inputs))
    if not difference <= TOLERANCE * (scale or 1.0):
        raise AutopruneError(
            f"the {form} export differs from PyTorch by {difference:.1e} (largest output"
            f" {scale:.1e}); it was removed",
            "export to another format, and report this network",
        )
    size = sum(file.stat().st_size for file in [path, *path.glob("*")] if file.is_file())
    return Exported(path, form, size, difference, scale, tuple(sizes))


def _largest_difference(output: Tensor, target: Tensor) -> float:
    if not output.numel():
        return 0.0
    worst = float((output.double() - target.double()).abs().max())
    return worst if worst == worst else float("inf")


def _batch_size(inputs: ExampleInputs) -> int:
    return next(int(leaf.shape[0]) for leaf in tree_leaves(as_call(inputs)) if leaf.dim())
