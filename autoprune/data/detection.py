"""Detection task for the networks of ultralytics: their loss, and the mean average precision.

Average precision is that of COCO (Lin et al. 2014, arXiv:1405.0312): the area under precision over
recall, averaged over ten thresholds of overlap from 0.5 to 0.95, and over classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from autoprune.errors import UsageError
from autoprune.foundation.libraries import needed

OVERLAPS: Final = torch.arange(0.5, 0.96, 0.05)
CONFIDENCE: Final = 0.001
"""Least confidence of a detection: average precision ranks them all."""
SUPPRESSED: Final = 0.7
"""Overlap from which the less confident of two detections of a class is dropped."""
MOST: Final = 300
"""Largest number of detections in an image."""
CANDIDATES: Final = 3000
"""Largest number of boxes that may become detections, the most confident."""


@dataclass(frozen=True)
class Detection:
    """Task of finding objects in images with a network of ultralytics (``ultralytics:NAME``).

    A batch is (images, boxes): images float32 [B, C, H, W] in [0, 1], boxes float32 [B, M, 5] hold
    the class and the center, width and height of each object as fractions of the image; rows whose
    class is negative are padding. Outputs are the dict of ``boxes``, ``scores`` and ``feats`` that
    these networks return in training, or the pair of decoded boxes and that dict.
    """

    @property
    def name(self) -> str:
        """Short name."""
        return "detection"

    @property
    def outputs(self) -> tuple[str, ...]:
        """What is read of the outputs: of the maps of features only the sizes are."""
        return ("0", "boxes", "scores")

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "mAP 50-95"

    def inputs(self, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the images."""
        return (batch[0],), {}

    def loss(self, outputs: Any, batch: Any) -> Tensor:
        """Return the mean over the images of ultralytics' loss: boxes, classes and their edges."""
        found, boxes = _raw(outputs), batch[1]
        image, row = (boxes[..., 0] >= 0).nonzero(as_tuple=True)
        targets = {
            "batch_idx": image.float(),
            "cls": boxes[image, row, 0],
            "bboxes": boxes[image, row, 1:],
        }
        losses: Tensor = self._criterion(found, batch[0])(found, targets)[0]
        return losses.sum() / len(boxes)

    def score(self, outputs: Any, batch: Any) -> Tensor:
        """Return the mean average precision on each image alone, [B]."""
        samples = range(len(batch[1]))
        return torch.tensor([self.score_of(_rows(outputs, batch, at)) for at in samples])

    def evidence(self, outputs: Any, batch: Any) -> Tensor:
        """Return a row for each detection and object, [rows, 12].

        Class, confidence (-1 for an object), and whether it is right at each of the ten overlaps.
        """
        return torch.cat([_rows(outputs, batch, at) for at in range(len(batch[1]))])

    def score_of(self, evidence: Tensor) -> float:
        """Return the mean average precision, 1 where there is nothing to find and nothing found."""
        objects = evidence[:, 1] < 0
        if not bool(objects.any()):
            return float(not len(evidence))
        if bool(objects.all()):
            return 0.0
        found, classes = evidence[~objects].numpy(), evidence[objects, 0].numpy()
        metrics = _library().metrics
        curves = metrics.ap_per_class(found[:, 2:] > 0, found[:, 1], found[:, 0], classes)
        return float(curves[5].mean())

    def _criterion(self, found: dict[str, Any], images: Tensor) -> Any:
        """Return the loss for outputs of this form; it asks the network for numbers only."""
        strides = [images.shape[2] / grid.shape[2] for grid in found["feats"]]
        head = SimpleNamespace(
            stride=torch.tensor(strides, device=images.device),
            nc=found["scores"].shape[1],
            reg_max=found["boxes"].shape[1] // 4,
        )
        network = SimpleNamespace(
            args=_library().options, model=[head], parameters=lambda: iter([found["boxes"]])
        )
        return _library().loss.v8DetectionLoss(network)


class _Library(NamedTuple):
    """Modules of ultralytics that are used, and its default options."""

    options: Any
    loss: Any
    metrics: Any
    nms: Any


def _library() -> _Library:
    """Import ultralytics; raise UsageError if it is missing."""
    with needed("ultralytics", "ultralytics", "the task detection"):
        from ultralytics.utils import DEFAULT_CFG, loss, metrics, nms
    return _Library(DEFAULT_CFG, loss, metrics, nms)


def _raw(outputs: Any) -> dict[str, Any]:
    """Return the dict of what the head says before boxes are decoded."""
    found = outputs[1] if isinstance(outputs, (tuple, list)) and len(outputs) == 2 else outputs
    if not isinstance(found, dict) or not {"boxes", "scores", "feats"} <= found.keys():
        raise UsageError(
            f"the model returns {type(outputs).__name__}, not what detectors of ultralytics return",
            "name one with --model ultralytics:yolov8n, or bring a task of your own",
        )
    return found


def _rows(outputs: Any, batch: Any, at: int) -> Tensor:
    """Return the rows of one image; see :meth:`Detection.evidence`."""
    images, boxes = batch
    _raw(outputs)
    if not isinstance(outputs, (tuple, list)):
        raise UsageError("detections are scored in eval mode only", "call model.eval()")
    decoded = outputs[0][at].detach().T.float()
    targets = boxes[at][boxes[at, :, 0] >= 0]
    scale = torch.tensor(images.shape[2:], device=targets.device).flip(0).repeat(2)
    classes, confidence, corners = _detected(decoded[:, :4], decoded[:, 4:])
    right = _matched(classes, corners, targets[:, 0], _corners(targets[:, 1:] * scale))
    found = torch.cat((classes[:, None], confidence[:, None], right), dim=1)
    objects = torch.zeros(len(targets), 2 + len(OVERLAPS), device=found.device)
    objects[:, 0], objects[:, 1] = targets[:, 0], -1
    return torch.cat((found, objects)).cpu()


def _detected(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return class, confidence and corners of what is detected, the most confident first."""
    place, kind = (scores > CONFIDENCE).nonzero(as_tuple=True)
    confidence, order = scores[place, kind].sort(descending=True, stable=True)
    confidence, order = confidence[:CANDIDATES], order[:CANDIDATES]
    corners, kind = _corners(boxes[place[order]]), kind[order].float()
    apart = corners + kind[:, None] * (corners.abs().max() + 1 if len(corners) else 1)
    kept = _library().nms.TorchNMS.nms(apart, confidence, SUPPRESSED)[:MOST]
    return kind[kept], confidence[kept], corners[kept]


def _matched(classes: Tensor, corners: Tensor, labels: Tensor, objects: Tensor) -> Tensor:
    """Say whether each detection finds an object that no better one found, [detections, 10].

    Detections come most confident first; each takes the object that it overlaps most.
    """
    overlaps = OVERLAPS.to(corners.device)
    right = torch.zeros(len(classes), len(overlaps), device=corners.device)
    if not len(labels) or not len(classes):
        return right
    shared = _library().metrics.box_iou(corners, objects)
    shared = shared * (classes[:, None] == labels[None])
    free = torch.ones(len(labels), len(overlaps), device=corners.device)
    levels = torch.arange(len(overlaps))
    for at in (shared >= overlaps[0]).any(1).nonzero().flatten().tolist():
        best, place = (shared[at][:, None] * free).max(0)
        right[at] = (best >= overlaps).float()
        free[place, levels] *= 1 - right[at]
    return right


def _corners(boxes: Tensor) -> Tensor:
    """Turn center, width and height into two corners, [N, 4]."""
    half = boxes[:, 2:] / 2
    return torch.cat((boxes[:, :2] - half, boxes[:, :2] + half), dim=1)
