"""Networks of ultralytics: the modules that detect, without what is done to their boxes."""

from __future__ import annotations

from torch import nn

from tests.real.network import Network, images
from tests.real.stubs import declare

declare()
from ultralytics.nn.tasks import (  # noqa: E402  it imports torchvision
    ClassificationModel,
    DetectionModel,
    SegmentationModel,
)


def _net(name: str, kind: type[nn.Module]) -> Network:
    def build() -> nn.Module:
        return kind(f"{name}.yaml", ch=3, nc=5, verbose=False)  # type: ignore[call-arg]

    return Network(f"ultralytics:{name}", build, images(64))


NETWORKS = [
    _net("yolov5n", DetectionModel),
    _net("yolov8n", DetectionModel),
    _net("yolov8n-seg", SegmentationModel),
    _net("yolov8n-cls", ClassificationModel),
    _net("yolo11n", DetectionModel),
    _net("yolov10n", DetectionModel),
]
