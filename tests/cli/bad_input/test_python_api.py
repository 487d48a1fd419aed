"""Wrong objects given to the Python functions."""

import json
import math

import pytest
import torch
from torch import nn

import autoprune
from autoprune.errors import DamagedError, InfeasibleError, UsageError
from autoprune.foundation import user_code
from autoprune.foundation.files import read_json
from autoprune.networks.weights import load_weights
from tests.complaints import small, untouched


def pair(count=40):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.arange(count) % 3


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo):
        raise TypeError("cannot copy a socket")


class Keeping(nn.Linear):
    def get_extra_state(self):
        return {"steps": 3}


class Pairs(nn.Linear):
    def forward(self, x):
        return super().forward(x.reshape(2, 64))


LIVE = {
    "uncopied": (lambda: {"model": Uncopied(64, 3)}, "cannot be copied: TypeError: cannot copy a"),
    "keeping": (lambda: {"model": Keeping(64, 3)}, "_extra_state of the model is dict"),
    "pairs": (lambda: {"model": Pairs(64, 3)}, "does not accept a batch"),
    "no model": (lambda: {"model": None}, "the model is NoneType, not an nn.Module"),
    "a class": (lambda: {"model": nn.Identity}, "the model is Identity, not an nn.Module"),
    "an untrained name": (lambda: {"model": "resnet20"}, "resnet20 has no trained weights"),
    "no data": (lambda: {"data": None}, "cannot read samples from NoneType"),
    "empty": (lambda: {"data": pair(0)}, "empty"),
    "a number": (lambda: {"budget": 0.5}, "a budget is text with a unit"),
    "half": (lambda: {"evaluations": 2.5}, "must be a whole number, not 2.5"),
    "no task": (lambda: {"task": None}, "NoneType is not a task"),
    "no agent": (lambda: {"agent": None}, "NoneType is not a searcher: it lacks search()"),
    "lazy": (lambda: {"model": nn.Sequential(nn.LazyConv2d(8, 3))}, "0.weight of the model has no"),
    "meta": (lambda: {"model": small().to("meta")}, "conv1.weight of the model has no values"),
    "no weights": (
        lambda: {"model": nn.Sequential(nn.Flatten(), nn.ReLU())},
        "nothing in the network can be pruned (it has no layers with weights)",
    ),
}


@pytest.mark.parametrize("case", LIVE)
def test_search_on_the_wrong_objects(case, place):
    make, message = LIVE[case]
    with pytest.raises(UsageError) as caught:
        autoprune.search(**{"model": small(), "data": pair(), "run": "run", **make()})
    assert message in str(caught.value)
    assert caught.value.hint or case == "half"
    assert untouched(place)


def test_nan_in_a_live_network_is_named(place):
    model = small()
    with torch.no_grad():
        model.conv2.bias[1] = math.inf
    with pytest.raises(UsageError, match=r"conv2\.bias of the model holds NaN or infinity"):
        autoprune.search(model, pair(), run="run")
    with pytest.raises(InfeasibleError, match="at least"):
        autoprune.search(small(), pair(), "1e-9flops", run="run")
    assert untouched(place)


def test_analysis_of_what_cannot_be_analyzed():
    model = small()
    with pytest.raises(UsageError, match=r"does not run on its inputs: .* 3 channels"):
        autoprune.analyze(model, torch.randn(2, 3, 8, 8))
    with pytest.raises(UsageError, match="cannot be copied"):
        autoprune.analyze(Uncopied(64, 3), torch.randn(2, 64))
    with torch.no_grad():
        model.head.weight[0, 0] = math.nan
    with pytest.raises(UsageError, match=r"head\.weight of the model holds NaN"):
        autoprune.analyze(model, torch.randn(2, 1, 8, 8))


class Masking(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3))
        self.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))

    def forward(self, x):
        return super().forward(x) + self.mask[2]


def test_masks_may_be_infinite(tmp_path):
    options = {"agent": "uniform", "finetune_epochs": 1, "run": "run"}
    result = autoprune.search(Masking(), pair(), "0.5flops", **options)
    assert result.model.mask.isinf().any()
    torch.save(Masking().state_dict(), "mask.pt")
    load_weights(Masking(), "mask.pt")


def test_load_of_what_is_no_run(place):
    for path in ("nowhere", ".", "nets.py"):
        with pytest.raises(UsageError, match="holds no pruned network"):
            autoprune.load(path)
    (place / "model.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(DamagedError):
        autoprune.load(".")


def test_load_with_another_network(run):
    for name in ("two", "flat"):
        with pytest.raises(DamagedError, match=r"does not fit .*another model"):
            autoprune.load(run, user_code.load(f"nets.py:{name}")[0]())
    loaded = autoprune.load(run, small())
    assert loaded.conv1.out_channels == read_json(run / "plan.json")["keep"]["conv1"]
