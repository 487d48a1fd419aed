import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.commands.ticket import criteria
from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.early import RULES, Bird
from autoprune.commands.ticket.movement import histogram, motion, movement, nearest
from autoprune.commands.ticket.ticket import Ticket
from autoprune.data import Split
from autoprune.data.task import Classification


@st.composite
def layers(draw):
    """Weights of a few layers, with ties, and masks that keep at least one of each."""
    weights, masks = {}, {}
    for number in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 30))
        values = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
        kept = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        kept[draw(st.integers(0, size - 1))] = True
        weights[f"layer{number}"] = torch.tensor(values).float().view(1, -1)
        masks[f"layer{number}"] = torch.tensor(kept).view(1, -1)
    return weights, masks


RATES = st.floats(0.01, 0.99)


def smallest(weight, mask, count):
    """The places that go, found by sorting (magnitude, index) in plain Python."""
    places = [index for index, keep in enumerate(mask.flatten().tolist()) if keep]
    places.sort(key=lambda index: (abs(float(weight.flatten()[index])), index))
    return set(places[:count])


def gone(before, after):
    return set((before & ~after).flatten().nonzero().flatten().tolist())


@given(layers(), RATES)
def test_exactly_the_smallest_weights_of_each_layer_go(case, rate):
    weights, masks = case
    pruned = m.prune_by_layer(weights, masks, rate)
    assert list(pruned) == list(masks)
    for name, mask in masks.items():
        assert not (pruned[name] & ~mask).any(), "nested"
        assert pruned[name].any(), "never emptied"
        here = rate / 2 if name == list(masks)[-1] else rate
        count = min(round(here * int(mask.sum())), int(mask.sum()) - 1)
        assert gone(mask, pruned[name]) == smallest(weights[name], mask, count)


@given(layers(), RATES)
def test_global_pruning_takes_the_exact_count_and_empties_no_layer(case, rate):
    weights, masks = case
    pruned = m.prune_globally(weights, masks, rate)
    before = sum(int(mask.sum()) for mask in masks.values())
    after = sum(int(mask.sum()) for mask in pruned.values())
    assert before - after == min(round(rate * before), before - len(masks))
    largest_gone, smallest_kept = 0.0, float("inf")
    for name, mask in masks.items():
        assert not (pruned[name] & ~mask).any()
        assert pruned[name].any()
        values = weights[name].abs()
        largest_gone = max([largest_gone, *values[mask & ~pruned[name]].tolist()])
        if int(pruned[name].sum()) > 1:  # a lone survivor may be smaller than what went elsewhere
            others = values[pruned[name]].sort(descending=True).values[1:]
            smallest_kept = min([smallest_kept, *others.tolist()])
    assert largest_gone <= smallest_kept


@given(layers(), st.integers(0, 2**31))
def test_shuffling_keeps_every_layers_share(case, seed):
    _, masks = case
    shuffled = m.shuffled(masks, seed)
    assert m.shares(shuffled) == m.shares(masks)
    assert m.remaining(shuffled) == m.remaining(masks)
    again = m.shuffled(masks, seed)
    assert all(torch.equal(shuffled[name], again[name]) for name in masks)


@given(layers(), RATES)
@settings(max_examples=10)
def test_a_ticket_read_back_is_the_one_that_was_written(case, rate):
    weights, masks = case
    with tempfile.TemporaryDirectory() as folder:
        ticket = Ticket(masks, weights, weights, {}, 0, {"rate": rate})
        ticket.save(Path(folder))
        again = Ticket.load(Path(folder))
    assert list(again.masks) == list(masks)
    assert all(torch.equal(again.masks[name], mask) for name, mask in masks.items())
    assert all(torch.equal(again.initial[name], value) for name, value in weights.items())
    assert again.facts == ticket.facts


def test_whole_layers_of_single_weights_survive_every_level():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    masks = m.full(model)
    assert list(masks) == ["0.weight"], "biases and norms are not pruned"
    weights = {"0.weight": torch.zeros(1, 1)}
    assert m.prune_by_layer(weights, masks, 0.9)["0.weight"].all()
    assert m.prune_globally(weights, masks, 0.9)["0.weight"].all()


@given(layers(), st.data())
def test_drawing_keeps_the_highest_scores_of_all_and_one_of_each_layer(case, data):
    scores, masks = case
    left = sum(int(mask.sum()) for mask in masks.values())
    keep = data.draw(st.integers(len(masks), left))
    drawn = m.draw(scores, masks, keep)
    assert sum(int(mask.sum()) for mask in drawn.values()) == keep
    gone_best, kept_worst = -float("inf"), float("inf")
    for name, mask in masks.items():
        assert not (drawn[name] & ~mask).any()
        assert drawn[name].any()
        gone_best = max([gone_best, *scores[name][mask & ~drawn[name]].tolist()])
        others = scores[name][drawn[name]].sort(descending=True).values[1:]
        kept_worst = min([kept_worst, *others.tolist()])
    assert gone_best <= kept_worst


@given(layers(), layers())
def test_distance_and_overlap_are_counts_of_places(one, other):
    first = torch.cat([mask.flatten() for mask in one[1].values()])
    second = torch.cat([mask.flatten() for mask in other[1].values()])
    size = min(len(first), len(second))
    a, b = first[:size].tolist(), second[:size].tolist()
    masks = [{"w": torch.tensor(values)} for values in (a, b)]
    assert m.distance(*masks) == sum(x != y for x, y in zip(a, b, strict=True)) / size
    if any(a) and any(b):
        both = sum(x and y for x, y in zip(a, b, strict=True))
        assert m.overlap(*masks) == both / min(sum(a), sum(b))


@pytest.mark.parametrize("shape", [(6, 8), (3, 8, 3, 3), (4, 3, 3, 3)])
def test_shuffling_a_pattern_keeps_it(shape):
    generator = torch.Generator().manual_seed(0)
    rows = torch.ones(shape[0], torch.Size(shape[1:]).numel(), dtype=torch.bool)
    length = rows.shape[1] // 4 * 4
    order = torch.rand(shape[0] - 1, length // 4, 4, generator=generator).argsort(2) < 2
    rows[1:, :length] = order.flatten(1)  # the first row is whole, as rows of a plan may be
    inputs_last = rows.view(shape[0], *shape[2:], shape[1])
    mask = inputs_last.movedim(-1, 1).contiguous()
    (mixed,) = m.shuffled({"w": mask}, 3, block=4).values()
    found = mixed.movedim(1, -1).reshape(shape[0], -1)
    counts = found[:, :length].reshape(shape[0], -1, 4).sum(2)
    assert sorted(counts.float().mean(1).tolist()) == [2] * (shape[0] - 1) + [4]
    assert found[:, length:].all()
    assert not torch.equal(mixed, mask)


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
    expected = m.draw(scores, m.full(model), 10)
    found = criteria.snip(model, split, Classification(), 10)
    assert all(torch.equal(found[name], mask) for name, mask in expected.items())


def test_grasp_keeps_what_the_hessian_says(small):
    model, split = small
    weights = (model[0].weight.detach(), model[2].weight.detach())
    loss = flat_loss(model, split, criteria.HEAT)
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
    expected = m.draw(scores, m.full(model), 10)
    found = criteria.grasp(model, split, Classification(), 10)
    assert all(torch.equal(found[name], mask) for name, mask in expected.items())


def test_synflow_scores_weights_by_the_paths_through_them(small, monkeypatch):
    model, split = small
    bias = model[0].bias.detach().abs()
    first, last = (model[at].weight.detach().abs() for at in (0, 2))
    hidden = first.sum(1) + bias
    slope = 1 - torch.tanh(hidden) ** 2
    scores = {
        "0.weight": first * (slope * last.sum(0)).unsqueeze(1),
        "2.weight": last * torch.tanh(hidden),
    }
    monkeypatch.setattr(criteria, "ROUNDS", 1)
    expected = m.draw(scores, m.full(model), 10)
    found = criteria.synflow(model, split, Classification(), 10)
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


def sparse(*places, size=100):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[list(places)] = True
    return {"w": mask}


def test_a_mask_is_drawn_when_the_last_five_are_the_same():
    steady, other = sparse(*range(50)), sparse(*range(11, 61))
    bird = Bird(RULES["early-bird"])
    for step, masks in enumerate((other, steady, steady, steady, steady), start=1):
        bird.see(step, masks)
    assert bird.at is None, "the first of the five differs at 22 of 100 places"
    bird.see(6, steady)
    bird.see(7, other)
    assert bird.at == 6
    assert torch.equal(bird.drawn["w"], steady["w"])


def test_sparse_masks_look_alike_to_the_distance_but_not_to_the_overlap():
    masks = [sparse(number, 99) for number in range(5)]
    birds = {name: Bird(rule) for name, rule in RULES.items()}
    for step, each in enumerate(masks, start=1):
        for bird in birds.values():
            bird.see(step, each)
    assert birds["early-bird"].at == 5
    assert birds["early-overlap"].at is None


@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=20),
    st.lists(st.floats(-3, 3), min_size=1, max_size=20),
)
def test_weights_are_matched_with_the_nearest_initial_magnitude(values, among):
    values, among = torch.tensor(values), torch.tensor(among)
    found = among[nearest(values, among)].abs()
    best = (values.abs().unsqueeze(1) - among.abs()).abs().min(1).values
    assert torch.allclose((values.abs() - found).abs(), best)


def test_motion_is_told_by_place():
    before = {"w": torch.tensor([[1.0, -1.0, 0.5, -0.5]])}
    after = {"w": torch.tensor([[2.0, 1.0, 0.5, -0.4]])}
    masks = {"w": torch.tensor([[True, True, False, False]])}
    found = movement(before, after, masks)["w"]
    assert found["inside"].to_json() == {"initial": 1, "moved": 1.5, "grew": 0.5, "sign": 0.5}
    assert found["outside"].moved == pytest.approx(0.05)
    assert found["largest_first"] == found["inside"], "they are the ones that began largest"
    assert motion(torch.zeros(0), torch.zeros(0)) is None
    assert movement(before, after, {"w": torch.ones(1, 4, dtype=torch.bool)}) == {}
    bars = histogram(before["w"], after["w"], masks["w"])
    assert (sum(bars["inside"]), sum(bars["outside"])) == (2, 2)
