"""Tasks: batches, losses, scores, and what is refused."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from autoprune.data.classification import Classification, logits
from autoprune.data.ctc import CTC
from autoprune.data.named_task import check_task, resolve_task
from autoprune.data.task import PerSampleTask, RatedTask, Task, example_inputs
from autoprune.errors import UsageError

TASK = Classification()
IMAGES, LABELS = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 2])
OUTPUTS = torch.eye(3)[[0, 1, 2, 0]]


class Regression:
    name = "regression"

    def inputs(self, batch):
        return (batch["x"],), {}

    def loss(self, outputs, batch):
        return (outputs - batch["y"]).square().mean()

    def score(self, outputs, batch):
        return torch.exp(-(outputs - batch["y"]).abs()).flatten(1).mean(1)


def test_classification_is_a_task():
    assert isinstance(TASK, Task)
    assert check_task(TASK) is TASK


def test_scores_and_loss():
    batch = (IMAGES, LABELS)
    assert TASK.score(OUTPUTS, batch).tolist() == [1, 1, 1, 0]
    assert TASK.loss(OUTPUTS, batch) == cross_entropy(OUTPUTS, LABELS)
    smoothed = Classification(0.1).loss(OUTPUTS, batch)
    uniform = -OUTPUTS.log_softmax(1).mean()
    torch.testing.assert_close(smoothed, 0.9 * TASK.loss(OUTPUTS, batch) + 0.1 * uniform)


def test_per_pixel_scores_are_means():
    outputs = torch.zeros(1, 2, 2, 2)
    outputs[0, 1, 0] = 1
    assert TASK.score(outputs, (IMAGES[:1], torch.ones(1, 2, 2).long())).tolist() == [0.5]


def test_small_integer_labels_will_do():
    batch = (IMAGES, LABELS.to(torch.uint8))
    assert TASK.loss(OUTPUTS, batch) == TASK.loss(OUTPUTS, (IMAGES, LABELS))


def test_several_and_keyword_inputs():
    assert TASK.inputs((IMAGES, IMAGES, LABELS)) == ((IMAGES, IMAGES), {})
    args, kwargs = TASK.inputs({"ids": IMAGES, "mask": IMAGES, "labels": LABELS})
    assert args == () and set(kwargs) == {"ids", "mask"}


def test_example_inputs_take_the_form_of_analyze():
    assert example_inputs(TASK, (IMAGES, LABELS)) is IMAGES
    assert example_inputs(TASK, (IMAGES, LABELS, LABELS)) == (IMAGES, LABELS)
    assert set(example_inputs(TASK, {"ids": IMAGES, "label": LABELS})) == {"ids"}


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x, None), lambda x: {"logits": x}])
def test_logits_are_found(wrap):
    assert logits(wrap(OUTPUTS)) is OUTPUTS


@pytest.mark.parametrize(
    "batch", [{"ids": IMAGES}, (IMAGES, [1, 2, 3, 4])], ids=["no labels", "a list"]
)
def test_unreadable_labels_are_named(batch):
    with pytest.raises(UsageError, match="label"):
        TASK.loss(OUTPUTS, batch)


def test_a_task_from_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "class Mine:\n"
        "    name = 'mine'\n"
        "    def inputs(self, batch): return (batch[0],), {}\n"
        "    def loss(self, outputs, batch): return outputs.mean()\n"
        "    def score(self, outputs, batch): return outputs.sigmoid().flatten(1).mean(1)\n"
        "def task(): return Mine()\n"
        "class Half:\n"
        "    name = 'half'\n"
        "    def inputs(self, batch): return (batch[0],), {}\n"
        "    score = 3\n"
    )
    assert resolve_task(f"{file}:task").name == "mine"
    assert resolve_task(f"{file}:Mine").name == "mine"
    with pytest.raises(UsageError, match=r"lacks loss, score\(\)"):
        resolve_task(f"{file}:Half")
    with pytest.raises(UsageError, match="did you mean task"):
        resolve_task(f"{file}:tsk")


def test_a_task_by_name_or_as_object():
    assert resolve_task("classification") == TASK
    mine = Regression()
    assert resolve_task(mine) is mine
    with pytest.raises(UsageError, match="unknown task 'clasification'"):
        resolve_task("clasification")
    with pytest.raises(UsageError, match="int is not a task: it lacks name, inputs, loss, score"):
        resolve_task(3)


def test_optional_members_of_a_task_are_named_protocols():
    tasks = (Classification(), CTC(), Regression())
    assert [isinstance(task, PerSampleTask) for task in tasks] == [True, True, False]
    assert [isinstance(task, RatedTask) for task in tasks] == [False, True, False]
