import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.lottery import masks as m


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
@settings(deadline=None)
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
@settings(deadline=None)
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
@settings(deadline=None)
def test_shuffling_keeps_every_layers_share(case, seed):
    _, masks = case
    shuffled = m.shuffled(masks, seed)
    assert m.shares(shuffled) == m.shares(masks)
    assert m.remaining(shuffled) == m.remaining(masks)
    again = m.shuffled(masks, seed)
    assert all(torch.equal(shuffled[name], again[name]) for name in masks)
