import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.commands.ticket.masks import (
    full_masks,
    keep_highest,
    kept_by_layer,
    kept_fraction,
    mask_distance,
    mask_overlap,
    prune_by_layer,
    prune_globally,
    shuffled_masks,
)
from tests.tickets import layers

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
    pruned = prune_by_layer(weights, masks, rate)
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
    pruned = prune_globally(weights, masks, rate)
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
    shuffled = shuffled_masks(masks, seed)
    assert kept_by_layer(shuffled) == kept_by_layer(masks)
    assert kept_fraction(shuffled) == kept_fraction(masks)
    again = shuffled_masks(masks, seed)
    assert all(torch.equal(shuffled[name], again[name]) for name in masks)


def test_whole_layers_of_single_weights_survive_every_level():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    masks = full_masks(model)
    assert list(masks) == ["0.weight"], "biases and norms are not pruned"
    weights = {"0.weight": torch.zeros(1, 1)}
    assert prune_by_layer(weights, masks, 0.9)["0.weight"].all()
    assert prune_globally(weights, masks, 0.9)["0.weight"].all()


@given(layers(), st.data())
def test_drawing_keeps_the_highest_scores_of_all_and_one_of_each_layer(case, data):
    scores, masks = case
    left = sum(int(mask.sum()) for mask in masks.values())
    keep = data.draw(st.integers(len(masks), left))
    drawn = keep_highest(scores, masks, keep)
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
    assert mask_distance(*masks) == sum(x != y for x, y in zip(a, b, strict=True)) / size
    if any(a) and any(b):
        both = sum(x and y for x, y in zip(a, b, strict=True))
        assert mask_overlap(*masks) == both / min(sum(a), sum(b))


@pytest.mark.parametrize("shape", [(6, 8), (3, 8, 3, 3), (4, 3, 3, 3)])
def test_shuffling_a_pattern_keeps_it(shape):
    generator = torch.Generator().manual_seed(0)
    rows = torch.ones(shape[0], torch.Size(shape[1:]).numel(), dtype=torch.bool)
    length = rows.shape[1] // 4 * 4
    order = torch.rand(shape[0] - 1, length // 4, 4, generator=generator).argsort(2) < 2
    rows[1:, :length] = order.flatten(1)  # the first row is whole, as rows of a plan may be
    inputs_last = rows.view(shape[0], *shape[2:], shape[1])
    mask = inputs_last.movedim(-1, 1).contiguous()
    (mixed,) = shuffled_masks({"w": mask}, 3, block=4).values()
    found = mixed.movedim(1, -1).reshape(shape[0], -1)
    counts = found[:, :length].reshape(shape[0], -1, 4).sum(2)
    assert sorted(counts.float().mean(1).tolist()) == [2] * (shape[0] - 1) + [4]
    assert found[:, length:].all()
    assert not torch.equal(mixed, mask)
