"""Execution: forms, layouts and modes."""

import pytest
import torch
from torch import nn

from autoprune.data.classification import Classification
from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.networks.execution import (
    Form,
    bfloat16_pays,
    device_of,
    fastest_form,
    forward,
    laid_out,
    mode,
)

TASK = Classification()
BATCH = (torch.randn(4, 3, 32, 32), torch.arange(4))


class Viewing(nn.Module):
    """Works in the plain memory layout only."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.linear = nn.Linear(4 * 32 * 32, 5)

    def forward(self, x):
        return self.linear(self.conv(x).view(len(x), -1))


class SinglePrecision(nn.Module):
    """Mixes an activation with a float32 buffer in a way that bfloat16 does not survive."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.register_buffer("mix", torch.eye(1024))

    def forward(self, x):
        out = self.conv(x).flatten(2)
        return torch.addmm(torch.zeros(4, 1024), out[0], self.mix, out=torch.empty(4, 1024))[None]


def test_every_form_computes_the_same():
    model = zoo.build("resnet20").eval()
    with torch.no_grad():
        plain = forward(model, TASK, BATCH)
        for form, tolerance in ((Form(False, True), 1e-4), (Form(True, True), 0.1)):
            with laid_out(model, form):
                assert model.conv1.weight.is_contiguous(memory_format=torch.channels_last)
                out = forward(model, TASK, BATCH, form)
            assert out.dtype == torch.float32
            scale = plain.abs().max()
            torch.testing.assert_close(out / scale, plain / scale, atol=tolerance, rtol=0)


def test_weights_laid_out_in_inference_mode_can_be_trained_afterwards():
    model = zoo.build("resnet20").eval()
    with torch.inference_mode(), laid_out(model, Form(channels_last=True)):
        forward(model, TASK, BATCH, Form(channels_last=True))
    assert not any(parameter.is_inference() for parameter in model.parameters())
    model(BATCH[0]).sum().backward()


def test_layout_is_given_back():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    model[1].to(memory_format=torch.channels_last)
    weight = model[0].weight
    with laid_out(model, Form(False, True)):
        pass
    assert model[0].weight is weight
    assert weight.is_contiguous()
    assert model[1].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_model_that_views_keeps_the_plain_layout():
    model = Viewing()
    assert fastest_form(model, TASK, BATCH, "float32") == Form(False, False)
    assert fastest_form(model, TASK, BATCH, "bfloat16") == Form(True, False)
    assert fastest_form(zoo.build("resnet20"), TASK, BATCH, "float32") == Form(False, True)


def test_a_model_that_needs_float32_gets_it():
    model = SinglePrecision()
    assert not fastest_form(model, TASK, BATCH, "auto").bfloat16
    with pytest.raises(UsageError, match="does not run in bfloat16: "):
        fastest_form(model, TASK, BATCH, "bfloat16")


def test_small_images_stay_in_float32():
    model = zoo.build("digits-resnet")
    assert not bfloat16_pays(model, TASK, (torch.randn(2, 1, 8, 8), torch.arange(2)))


def test_training_a_network_with_grouped_convolutions_stays_in_float32_on_a_cpu():
    grouped, plain = zoo.build("mobilenetv1"), zoo.build("resnet20")
    assert not fastest_form(grouped, TASK, BATCH, training=True).bfloat16
    assert fastest_form(grouped, TASK, BATCH, "bfloat16", training=True).bfloat16
    for net in (grouped, plain):
        assert fastest_form(net, TASK, BATCH).bfloat16 == bfloat16_pays(net, TASK, BATCH)
    assert fastest_form(plain, TASK, BATCH, training=True) == fastest_form(plain, TASK, BATCH)


def test_trying_forms_changes_nothing():
    model = zoo.build("digits-resnet")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fastest_form(model, TASK, (torch.randn(2, 1, 8, 8), torch.arange(2)))
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert model.training


def test_modes_are_given_back_one_by_one():
    model = zoo.build("digits-resnet").train()
    model.bn1.eval()
    with mode(model, train=False):
        assert not any(module.training for module in model.modules())
    assert model.training and not model.bn1.training


def test_a_model_without_tensors_is_on_the_cpu():
    assert device_of(nn.ReLU()) == torch.device("cpu")
