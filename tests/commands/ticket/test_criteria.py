import pytest
import torch

from autoprune.commands.ticket import criteria
from autoprune.commands.ticket.masks import (
    full_masks,
    keep_highest,
)
from autoprune.data import Split
from autoprune.data.classification import Classification


@pytest.fixture
def small():
    """A small classifier in double precision, samples, and the gradient of its loss by weight."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3, bias=False)
    ).double()
    split = Split((torch.randn(12, 5).double(), torch.randint(3, (12,))))
    return model, split


def flat_loss(model, split, heat=1.0):
    """The loss as a function of the two weights alone."""
    images, labels = split.content
    bias = model[0].bias.detach()

    def loss(first, last):
        outputs = torch.tanh(images @ first.T + bias) @ last.T
        return torch.nn.functional.cross_entropy(outputs / heat, labels)

    return loss


def test_snip_keeps_what_changes_the_loss_most(small):
    model, split = small
    weights = (model[0].weight.detach(), model[2].weight.detach())
    gradients = torch.autograd.functional.jacobian(flat_loss(model, split), weights)
    scores = {
        f"{at}.weight": (w * g).abs() for at, w, g in zip((0, 2), weights, gradients, strict=True)
    }
    expected = keep_highest(scores, full_masks(model), 10)
    found = criteria.snip(model, split, Classification(), 10)
    assert all(torch.equal(found[name], mask) for name, mask in expected.items())


def test_grasp_keeps_what_the_hessian_says(small):
    model, split = small
    weights = (model[0].weight.detach(), model[2].weight.detach())
    loss = flat_loss(model, split, criteria.CriteriaConfig().temperature)
    gradients = torch.autograd.functional.jacobian(loss, weights)
    blocks = torch.autograd.functional.hessian(loss, weights)
    sizes = [w.numel() for w in weights]
    hessian = torch.cat(
        [torch.cat([blocks[i][j].reshape(sizes[i], sizes[j]) for j in (0, 1)], 1) for i in (0, 1)]
    )
    product = hessian @ torch.cat([g.flatten() for g in gradients])
    scores = {
        f"{at}.weight": w * part.view_as(w)
        for at, w, part in zip((0, 2), weights, product.split(sizes), strict=True)
    }
    expected = keep_highest(scores, full_masks(model), 10)
    found = criteria.grasp(model, split, Classification(), 10)
    assert all(torch.equal(found[name], mask) for name, mask in expected.items())


def test_synflow_scores_weights_by_the_paths_through_them(small):
    model, split = small
    bias = model[0].bias.detach().abs()
    first, last = (model[at].weight.detach().abs() for at in (0, 2))
    hidden = first.sum(1) + bias
    slope = 1 - torch.tanh(hidden) ** 2
    scores = {
        "0.weight": first * (slope * last.sum(0)).unsqueeze(1),
        "2.weight": last * torch.tanh(hidden),
    }
    expected = keep_highest(scores, full_masks(model), 10)
    found = criteria.synflow(model, split, Classification(), 10, criteria.CriteriaConfig(rounds=1))
    assert all(torch.equal(found[name], mask) for name, mask in expected.items())


@pytest.mark.parametrize("name", list(criteria.CRITERIA))
def test_criteria_keep_the_count_and_leave_the_network_alone(name):
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(144, 3),
    )
    before = {key: value.clone() for key, value in model.state_dict().items()}
    split = Split((torch.randn(8, 1, 8, 8), torch.randint(3, (8,))))
    masks = criteria.CRITERIA[name](model, split, Classification(), 20)
    assert sum(int(mask.sum()) for mask in masks.values()) == 20
    assert list(masks) == ["0.weight", "4.weight"]
    assert all(mask.any() for mask in masks.values())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
