"""Detection: the loss of ultralytics, and average precision on boxes made by hand."""

from types import SimpleNamespace

import pytest
import torch

from autoprune.data.detection import Detection
from autoprune.data.named_task import resolve_task
from autoprune.data.task import SplitScoredTask, metric
from autoprune.errors import UsageError
from autoprune.networks.spec import resolve_model

pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra [models])")

TASK = Detection()
SIDE, CLASSES, ANCHORS = 64, 5, 84
PADDING = [-1.0, 0, 0, 0, 0]
IMAGES = torch.rand(3, 3, SIDE, SIDE)
BOXES = torch.tensor(
    [
        [[0, 0.5, 0.5, 0.4, 0.4], [2, 0.2, 0.2, 0.2, 0.3]],
        [[1, 0.5, 0.5, 0.4, 0.4], PADDING],
        [PADDING, PADDING],
    ]
)
BATCH = (IMAGES, BOXES)


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return resolve_model(f"ultralytics:yolov8n,nc={CLASSES}")


def found(*detections):
    """Make outputs in which (image, class, confidence, box in fractions) were detected."""
    decoded = torch.zeros(3, 4 + CLASSES, ANCHORS)
    for anchor, (image, kind, confidence, box) in enumerate(detections):
        decoded[image, :4, anchor] = torch.tensor(box) * SIDE
        decoded[image, 4 + kind, anchor] = confidence
    return decoded, {"boxes": None, "scores": None, "feats": None}


RIGHT = [
    (0, 0, 0.9, [0.5, 0.5, 0.4, 0.4]),
    (0, 2, 0.8, [0.2, 0.2, 0.2, 0.3]),
    (1, 1, 0.7, [0.5, 0.5, 0.4, 0.4]),
]


def score(*detections):
    return TASK.score_of(TASK.evidence(found(*detections), BATCH))


def test_the_loss_is_that_of_the_library(detector):
    from ultralytics.utils import DEFAULT_CFG
    from ultralytics.utils.loss import v8DetectionLoss

    head = detector.model[-1]
    theirs = v8DetectionLoss(
        SimpleNamespace(args=DEFAULT_CFG, model=[head], parameters=detector.parameters)
    )
    outputs = detector.train()(IMAGES)
    objects = BOXES[BOXES[..., 0] >= 0]
    targets = {
        "batch_idx": torch.tensor([0.0, 0, 1]),
        "cls": objects[:, 0],
        "bboxes": objects[:, 1:],
    }
    wanted = theirs(outputs, targets)[0].sum() / len(IMAGES)
    torch.testing.assert_close(TASK.loss(outputs, BATCH), wanted)
    with torch.no_grad():
        assert TASK.loss(detector.eval()(IMAGES), BATCH).isfinite()


def test_all_found_and_nothing_else_scores_as_the_library_scores_perfection():
    assert score(*RIGHT) == pytest.approx(0.995)


@pytest.mark.parametrize(
    ("detections", "low", "high"),
    [
        ([], 0, 0),
        (RIGHT[:2], 0.6, 0.7),  # one of three classes is never found
        ([(0, 3, 0.9, [0.5, 0.5, 0.4, 0.4])], 0, 0),  # the right place, another class
        ([(1, 0, 0.9, [0.5, 0.5, 0.4, 0.4])], 0, 0),  # the right class, another image
        # Too small: right at overlaps up to 0.64 of ten thresholds from 0.5 to 0.95.
        ([*RIGHT[:2], (1, 1, 0.7, [0.5, 0.5, 0.32, 0.32])], 0.7, 0.8),
        # Found nowhere, and more confident: halves the precision of one class.
        ([*RIGHT, (2, 1, 0.95, [0.5, 0.5, 0.4, 0.4])], 0.8, 0.9),
        # The same twice: the less confident is suppressed.
        ([*RIGHT, (1, 1, 0.6, [0.51, 0.5, 0.4, 0.4])], 0.99, 1),
        # An image with nothing in it where nothing is found changes nothing.
        (RIGHT, 0.99, 1),
    ],
)
def test_mistakes_cost_what_they_should(detections, low, high):
    assert low <= score(*detections) <= high


def test_the_score_of_a_split_does_not_depend_on_its_batches():
    decoded, raw = found(*RIGHT, (2, 1, 0.95, [0.5, 0.5, 0.4, 0.4]))
    whole = TASK.evidence((decoded, raw), BATCH)
    parts = [
        TASK.evidence((decoded[at : at + 1], raw), (IMAGES[at : at + 1], BOXES[at : at + 1]))
        for at in (2, 0, 1)
    ]
    assert TASK.score_of(torch.cat(parts)) == pytest.approx(TASK.score_of(whole))
    assert TASK.score((decoded, raw), BATCH).tolist() == pytest.approx([0.995, 0.995, 0])


def test_a_split_without_objects():
    empty = torch.full((3, 2, 5), -1.0)
    assert TASK.score_of(TASK.evidence(found(), (IMAGES, empty))) == 1
    assert TASK.score_of(TASK.evidence(found(RIGHT[0]), (IMAGES, empty))) == 0


def test_the_task_has_a_name_and_refuses_other_outputs(detector):
    assert isinstance(resolve_task("detection"), SplitScoredTask)
    assert metric(resolve_task("detection")) == "mAP 50-95"
    with pytest.raises(UsageError, match="the model returns Tensor, not what detectors"):
        TASK.loss(torch.zeros(3, 5), BATCH)
    with pytest.raises(UsageError, match="in eval mode only"):
        TASK.evidence(detector.train()(IMAGES), BATCH)
