"""A detector of ultralytics made smaller, and run in ONNX: its structure, without its training.

Needs ``pip install ultralytics onnx onnxscript onnxruntime``. The weights are random, for nothing
is downloaded here; with a detector of your own, pass ``YOLO("best.pt").model``, and train what is
left as you trained it. A search that scores plans by mean average precision is
``autoprune search --model ultralytics:yolov8n,nc=3 --task detection --data file.py:function``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from ultralytics.nn.tasks import DetectionModel

import autoprune

SIZE = 128
"""Pixels; the network takes any multiple of 32."""


def detector() -> nn.Module:
    """Make a YOLOv8n for three classes, which has seen a few images: its norms know a mean."""
    torch.manual_seed(0)
    model: nn.Module = DetectionModel("yolov8n.yaml", nc=3, verbose=False)
    with torch.no_grad():
        for _ in range(3):
            model.train()(images(8))
    return model.eval()


def images(count: int) -> Tensor:
    """Make images of noise, [count, 3, SIZE, SIZE]."""
    return torch.rand(count, 3, SIZE, SIZE)


def write_onnx(model: nn.Module, path: Path) -> None:
    """Write the network that gives boxes and class scores, [N, 7, anchors]."""
    model(images(1))  # the head keeps its anchors from a first call
    model.model[-1].export = True  # type: ignore[index,union-attr]  # boxes only, as a tensor
    torch.onnx.export(model, (images(1),), str(path), dynamo=True, external_data=False)


def main(folder: Path = Path("runs/yolo")) -> tuple[float, float]:
    """Prune, save, export and compare; return the part of MACs left, and the largest difference."""
    model = detector()
    structure = autoprune.analyze(model, images(2))
    plan = autoprune.Plan.uniform(structure, keep_fraction=0.5)
    cost = autoprune.CostModel(structure)
    left = cost.macs(plan) / cost.macs.dense
    print(f"{cost.macs.dense / 1e6:.0f} million MACs -> {cost.macs(plan) / 1e6:.0f}, {left:.0%}")

    compact = autoprune.prune(model, structure, plan, ranking="l1").eval()
    autoprune.save(compact, folder)
    compact = autoprune.load(folder, model=detector()).eval()

    file = folder / "yolo.onnx"
    write_onnx(compact, file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    seen = images(1)
    with torch.no_grad():
        expected = compact(seen).numpy()
    found = session.run(None, {session.get_inputs()[0].name: seen.numpy()})[0]
    apart = float(np.abs(found - expected).max() / np.abs(expected).max())
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, differs from PyTorch by {apart:.0e}")
    return left, apart


if __name__ == "__main__":
    main()
