"""Model, data and task together."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from autoprune.data import load_data
from autoprune.data.classification import Classification
from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.networks.compatibility import check_compatible
from tests.digits_net import equal, net

TASK = Classification()


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_a_sound_model_passes_and_stays_as_it_was(digits):
    model = net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_compatible(model, digits, TASK)
    assert model.training and model.bn1.training
    assert equal(model.state_dict(), before)


class Endless(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x.flatten(1)[:, :10] * self.weight / 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (zoo.build("resnet20"), r"does not accept a batch of digits of shape \[2, 1, 8, 8\]"),
        (zoo.build("digits-resnet", classes=5), "has outputs for 5 classes, but train has label 9"),
        (Endless(), "returns NaN or infinity"),
        (nn.Flatten(0), "not logits"),
    ],
    ids=["channels", "classes", "infinite", "flat"],
)
def test_mismatches_are_one_line(digits, model, message):
    with pytest.raises(UsageError, match=message) as caught:
        check_compatible(model, digits, TASK)
    assert "\n" not in str(caught.value)


def test_nan_weights_are_named(digits):
    model = net()
    with torch.no_grad():
        model.layer2[0].bn1.bias[3] = torch.nan
    with pytest.raises(UsageError, match=r"layer2\.0\.bn1\.bias of the model holds NaN"):
        check_compatible(model, digits, TASK)


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used without gradients"])
def test_live_masks_are_refused_by_name_and_stay(digits, used):
    model = net()
    prune.l1_unstructured(model.conv1, "weight", 0.5)
    prune.ln_structured(model.layer1[0].conv2, "weight", 0.5, n=2, dim=0)
    with torch.no_grad():
        model(torch.zeros(2, 1, 8, 8)) if used else None
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UsageError, match=r"masks conv1, layer1\.0\.conv2 .*prune\.remove"):
        check_compatible(model, digits, TASK)
    assert equal(model.state_dict(), before)
    assert prune.is_pruned(model)
    for module in (model.conv1, model.layer1[0].conv2):
        prune.remove(module, "weight")
    check_compatible(model, digits, TASK)


def test_labels_that_are_no_classes(digits):
    x = torch.randn(40, 1, 8, 8)
    with pytest.raises(UsageError, match="labels of train are float32, not integers"):
        check_compatible(net(), load_data((x, torch.rand(40))), TASK)
    with pytest.raises(UsageError, match="train has label -1"):
        check_compatible(net(), load_data((x, torch.arange(40) % 4 - 1)), TASK)


class Total(Classification):
    def score(self, outputs, batch):
        return super().score(outputs, batch).mean()


def test_a_task_must_score_each_sample(digits):
    with pytest.raises(UsageError, match=r"scores of shape \[\] for 2 samples"):
        check_compatible(net(), digits, Total())
