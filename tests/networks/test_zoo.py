"""Networks of the zoo, against their papers."""

import pytest
import torch
from torch import nn

from autoprune.errors import UsageError
from autoprune.networks import zoo

# Parameters, millions of MACs. CIFAR ResNets and Plain-20: He et al. 2016 with option A, as the
# common CIFAR code counts them; ResNet-18/50 and MobileNetV2: torchvision's counts (V2 with ten
# classes: 3,504,872 - 1,281,000 + 12,810); MobileNetV1: the common CIFAR code; DenseNet-40: 1.02 M
# and 5.33e8 FLOPs in Liu et al. 2017, table 1; VGG-19: 20.04 M and 7.97e8 FLOPs in the same table;
# LeNet and Conv: Frankle and Carbin 2019, figure 2 (266 K, 4.3 M, 2.4 M).
COUNTS = {
    "digits-resnet": (42_938, 1.12),
    "resnet20": (269_722, 40.55),
    "resnet32": (464_154, 68.86),
    "resnet44": (658_586, 97.17),
    "resnet56": (853_018, 125.49),
    "resnet110": (1_727_962, 252.89),
    "plain20": (269_722, 40.55),
    "resnet18": (11_689_512, 1814.07),
    "resnet50": (25_557_032, 4089.18),
    "vgg19": (20_035_018, 398.14),
    "densenet40": (1_019_722, 264.81),
    "mobilenetv1": (3_217_226, 46.35),
    "mobilenetv2": (2_236_682, 87.98),
    "simplenet": (2_149_170, 247.10),
    "lenet-300-100": (266_610, 0.27),
    "conv-2": (4_301_642, 43.78),
    "conv-4": (2_425_930, 98.31),
    "conv-6": (2_262_602, 153.88),
    "ocrnet": (607_487, 69.46),
}


def run(network, shape):
    """MACs per sample and output, counted by hooks on the modules that multiply."""
    macs = 0

    def count(module, inputs, outputs):
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            macs += outputs[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            macs += outputs[0].numel() * module.in_features
        elif isinstance(module, nn.LSTM):
            weights = sum(p.numel() for n, p in module.named_parameters() if "weight" in n)
            macs += inputs[0].shape[1] * weights

    for module in network.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        outputs = network.eval()(torch.randn(1, *shape))
    return macs, outputs


def test_every_network_is_counted():
    assert set(COUNTS) == set(zoo.NETWORKS)


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(name):
    parameters, millions = COUNTS[name]
    network = zoo.build(name)
    assert sum(p.numel() for p in network.parameters()) == parameters
    macs, outputs = run(network, zoo.NETWORKS[name].image_shape)
    assert round(macs / 1e6, 2) == millions
    classes = zoo.NETWORKS[name].classes
    assert outputs.shape == ((1, 32, classes) if name == "ocrnet" else (1, classes))
    assert outputs.isfinite().all()


@pytest.mark.parametrize("name", sorted(set(COUNTS) - {"resnet50", "resnet110", "ocrnet"}))
def test_other_classes_channels_and_sizes(name):
    network = zoo.build(name, classes=7, channels=2, size=48).eval()
    assert network(torch.randn(2, 2, 48, 48)).shape == (2, 7)


def test_option_b_projects_where_shapes_differ():
    names = set(dict(zoo.build("resnet20", shortcut="B").named_parameters()))
    extra = names - set(dict(zoo.build("resnet20").named_parameters()))
    assert {name.rsplit(".", 1)[0] for name in extra} == {
        f"layer{stage}.0.shortcut.{index}" for stage in (2, 3) for index in (0, 1)
    }


def test_option_a_pads_both_sides_with_zeros():
    block = zoo.build("resnet20").layer2[0]
    out = block.shortcut(torch.ones(1, 16, 8, 8))
    assert out.shape == (1, 32, 4, 4)
    assert out[0, :, 0, 0].tolist() == [0] * 8 + [1] * 16 + [0] * 8


def test_plain_network_has_no_shortcut():
    block = zoo.build("plain20").eval().layer1[0]
    with torch.no_grad():
        block.bn2.weight.zero_()
        block.bn2.bias.zero_()
    assert block(torch.ones(1, 16, 8, 8)).eq(0).all()


def test_fresh_weights_follow_the_seed():
    networks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        networks.append(zoo.build("digits-resnet").conv1.weight)
    assert torch.equal(networks[0], networks[1]) and not torch.equal(networks[0], networks[2])


def test_unknown_names_and_options():
    with pytest.raises(UsageError, match=r"unknown network 'resnet21' \(try resnet"):
        zoo.build("resnet21")
    with pytest.raises(UsageError, match="vgg19 has no option 'shortcut'"):
        zoo.build("vgg19", shortcut="B")
