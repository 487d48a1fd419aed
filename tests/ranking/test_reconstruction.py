"""Reconstruction of compact networks."""

import copy

import torch
from torch import nn

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.networks import zoo
from autoprune.networks.weights import load_weights
from autoprune.ranking.rank import rank
from autoprune.ranking.reconstruction import Reconstruction, ReconstructionConfig
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.training.loop import measure

TASK = Classification()


def images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(3, 3, generator=torch.Generator().manual_seed(7))
    noise = torch.randn(count, 3, 12, 12, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    return torch.einsum("nchw,cd->ndhw", smooth, mixing), torch.arange(count) % 10


class Plain(nn.Module):
    """No batch norm, biases, a layer that is called twice and two that share a weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.twice = nn.Conv2d(12, 12, 1)
        self.tied = nn.Conv2d(12, 12, 1)
        self.other = nn.Conv2d(12, 12, 1)
        self.other.weight = self.tied.weight
        self.end = nn.Linear(12, 10)

    def forward(self, x):
        x = self.b(self.a(x).relu()).relu()
        x = self.twice(self.twice(x).relu()).relu()
        return self.end(self.other(self.tied(x).relu()).relu().mean((2, 3)))


def prepared(net, keep=0.6):
    model = net.eval()
    split = Split(images(200))
    structure = analyze(model, images(2)[0])
    ranking = rank(model, structure, "regression", task=TASK, calibration=split)
    slicer = Slicer(model, structure)
    plan = Plan.uniform(structure, keep)
    return model, split, ranking, slicer, plan


def test_the_fitted_network_comes_nearer_to_the_dense_one_on_fresh_images():
    torch.manual_seed(0)
    model, split, ranking, slicer, plan = prepared(zoo.build("resnet20"))
    before = copy.deepcopy(model.state_dict())
    kept, weights = ranking.kept(plan), ranking.weights(plan)
    fitted = Reconstruction(model, slicer, TASK, split)(kept, weights)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    fresh = images(100, seed=1)[0]
    with torch.no_grad():
        wanted = model(fresh)
        once, twice = (
            float((net.eval()(fresh) - wanted).square().mean())
            for net in (slicer.build(kept, weights), fitted)
        )
    assert twice < 0.9 * once


def test_a_trained_network_loses_less(cifar10_jpeg, shared):
    model = zoo.build("resnet20")
    load_weights(model, shared / "checkpoints" / "resnet20.safetensors")
    model.eval()
    structure = analyze(model, images(2)[0])
    calibration = cifar10_jpeg.calibration(400)
    ranking = rank(model, structure, "regression", task=TASK, calibration=calibration)
    slicer, plan = Slicer(model, structure), Plan.uniform(structure, 0.6)
    kept, weights = ranking.kept(plan), ranking.weights(plan)
    held_out = cifar10_jpeg.validation.take(500)
    dense, repaired, fitted = (
        measure(net, held_out, TASK).loss
        for net in (
            model,
            slicer.build(kept, weights),
            Reconstruction(model, slicer, TASK, calibration)(kept, weights),
        )
    )
    assert fitted - dense < 0.8 * (repaired - dense)


def test_the_last_layer_solves_its_normal_equations_on_the_inputs_it_really_gets():
    """X'(XW - Y) = eps (W before - W), for the inputs of the fitted network."""
    torch.manual_seed(0)
    model, split, ranking, slicer, plan = prepared(Plain())
    kept, weights = ranking.kept(plan), ranking.weights(plan)
    before = slicer.build(kept, weights).end
    net = Reconstruction(model, slicer, TASK, split)(kept, weights)
    seen = []
    net.end.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        net.eval()(split.content[0])
        wanted = model(split.content[0]).double()
    rows = torch.nn.functional.pad(seen[0].double(), (0, 1), value=1.0)
    gram = rows.T @ rows / len(rows)
    eps = ReconstructionConfig().damping * gram.diagonal().mean()
    now, then = (torch.cat([x.weight, x.bias[:, None]], 1).T.double() for x in (net.end, before))
    correlation = gram @ now - rows.T @ wanted / len(rows)
    torch.testing.assert_close(correlation, eps * (then - now), rtol=0, atol=2e-6)
    assert (then - now).abs().max() > 1e-4


def test_nothing_pruned_is_nothing_changed():
    torch.manual_seed(0)
    model, split, ranking, slicer, _ = prepared(zoo.build("resnet20"))
    plan = Plan.of({name: len(order) for name, order in ranking.orders.items()})
    net = Reconstruction(model, slicer, TASK, split)(ranking.kept(plan), ranking.weights(plan))
    fresh = images(20, seed=1)[0]
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(fresh), model(fresh), rtol=1e-3, atol=1e-3)


def test_only_layers_called_once_with_a_weight_of_their_own_are_fitted():
    torch.manual_seed(0)
    model, split, ranking, slicer, plan = prepared(Plain())
    kept, weights = ranking.kept(plan), ranking.weights(plan)
    plain = slicer.build(kept, weights).state_dict()
    fitted = Reconstruction(model, slicer, TASK, split)(kept, weights).state_dict()
    changed = {name.split(".")[0] for name in plain if not torch.equal(plain[name], fitted[name])}
    assert changed == {"a", "b", "end"}


def test_large_inputs_mean_fewer_samples_and_the_same_samples_the_same_network():
    torch.manual_seed(0)
    model, split, ranking, slicer, plan = prepared(Plain())
    kept, weights = ranking.kept(plan), ranking.weights(plan)
    one, other = (Reconstruction(model, slicer, TASK, split)(kept, weights) for _ in range(2))
    assert all(
        torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items()
    )
    small = ReconstructionConfig(activation_bytes=50 * 12 * 12 * 12 * 4)
    seen = []
    handle = model.a.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    Reconstruction(model, slicer, TASK, split, small)
    handle.remove()
    assert set(seen) == {2, 50}
