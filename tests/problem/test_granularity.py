"""Single weights and n:m as units: exact masks, exact costs, exact budgets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from autoprune.cost.budget import Budget
from autoprune.errors import InfeasibleError, UsageError
from autoprune.networks.bitmap import pack
from autoprune.networks.save import state_tensors
from autoprune.problem.granularity.checks import check_ranking
from autoprune.problem.granularity.kernels import is_semi_structured, semi_structured
from autoprune.problem.granularity.layout import STEPS
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer


class Mixed(nn.Module):
    """Convolutions (grouped, strided, one too short for blocks), an LSTM, a layer used twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16)
        self.grouped = nn.Conv2d(16, 24, 3, padding=1, groups=2)
        self.short = nn.Conv2d(1, 2, (1, 3))
        self.lstm = nn.LSTM(24, 12, batch_first=True, bidirectional=True)
        self.shared = nn.Linear(24, 24)
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = self.grouped(self.depthwise(self.norm(self.stem(x)).relu()).relu()).relu()
        x = self.lstm(x.mean(2).transpose(1, 2))[0]
        y = self.short(x.unsqueeze(1)).sum((1, 3))
        return self.head(self.shared(self.shared(x).relu()).mean(1)) + y.mean(1, keepdim=True)


PATTERNS = ("weight", "2:4", "1:4", "3:8")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Mixed().eval()


@pytest.fixture(scope="module")
def structure(net):
    return analyze(net, torch.randn(2, 3, 8, 8))


@pytest.fixture(scope="module")
def by_granularity(structure):
    return {name: PruningUnits.of(structure, Granularity.parse(name)) for name in PATTERNS}


def plan_at(units, fractions):
    groups = units.decisions.groups
    counts = [1 + round((g.size - 1) * f) for g, f in zip(groups, fractions, strict=True)]
    return units.cost.plan(counts)


def masked(net, units, ranking, plan):
    return Slicer(net, units.structure).build(ranking.kept(plan), ranking.weights(plan))


@torch.no_grad()
def counted_macs(model, batch=2):
    """Multiply-adds by weights that are not zero, per sample, counted while the model runs."""
    total = []

    def conv(module, args, out):
        total.append(int((module.weight != 0).sum()) * out.shape[2] * out.shape[3])

    def linear(module, args, out):
        total.append(int((module.weight != 0).sum()) * out.numel() // out.shape[-1] // batch)

    def lstm(module, args, out):
        weights = [v for name, v in module.named_parameters() if name.startswith("weight")]
        total.append(sum(int((v != 0).sum()) for v in weights) * out[0].shape[1])

    kinds = {nn.Conv2d: conv, nn.Linear: linear, nn.LSTM: lstm}
    hooks = [m.register_forward_hook(kinds[type(m)]) for m in model.modules() if type(m) in kinds]
    model(torch.randn(batch, 3, 8, 8))
    for hook in hooks:
        hook.remove()
    return sum(total)


# ---- what a unit is


@settings(max_examples=15)
@given(data=st.data(), name=st.sampled_from(PATTERNS), method=st.sampled_from(("l2", "random")))
def test_masks_and_costs_equal_an_independent_count_at_any_plan(
    net, by_granularity, data, name, method
):
    units = by_granularity[name]
    ranking = units.rank(net, method)
    share = st.floats(0, 1)
    plan = plan_at(units, [data.draw(share) for _ in units.decisions.groups])
    masks = ranking.masks(plan)
    for layout in units.layouts:
        assert int(masks[layout.tensor].sum()) == layout.kept(plan[layout.group])
    model = masked(net, units, ranking, plan)
    for key, value in model.state_dict().items():
        if key in masks:
            assert torch.equal(value != 0, masks[key])
            assert torch.equal(value[masks[key]], net.state_dict()[key][masks[key]])
    assert units.cost.macs(plan) == counted_macs(model)
    present = sum(int((p != 0).sum()) for n, p in model.named_parameters() if n in masks)
    others = sum(p.numel() for n, p in model.named_parameters() if n not in masks)
    assert units.cost.parameters(plan) == present + others
    stored = pack(state_tensors(model), masks).values()
    assert units.cost.bytes(plan) == sum(v.numel() * v.element_size() for v in stored)


def test_everything_kept_is_the_network_itself_and_costs_what_it_did(
    net, structure, by_granularity
):
    whole = PruningUnits.of(structure, Granularity.parse("channel")).cost
    for units in by_granularity.values():
        dense = Plan.dense(units.decisions)
        ranking = units.rank(net, "l2")
        assert all(bool(mask.all()) for mask in ranking.masks(dense).values())
        assert units.cost.macs.dense == whole.macs.dense == counted_macs(net)
        assert units.cost.bytes.dense == whole.bytes.dense < units.cost.bytes(dense)
        assert units.cost.energy.dense == whole.energy.dense


def test_rows_too_short_for_the_pattern_are_named(by_granularity):
    (pinned,) = by_granularity["2:4"].decisions.pinned
    assert (pinned.name, pinned.reason) == ("short.weight", "its rows are shorter than 2:4")
    assert "short" in by_granularity["weight"].decisions.sizes


def test_a_large_layer_has_few_units():
    net = nn.Sequential(nn.Linear(1000, 1031), nn.Linear(1031, 7))
    structure = analyze(net, torch.randn(2, 1000))
    for name in PATTERNS:
        units = PruningUnits.of(structure, Granularity.parse(name))
        assert all(group.size <= STEPS + 1 for group in units.decisions.groups)
        ranking = units.rank(net, "l2")
        assert all(len(ranking.errors[g.name]) == g.size + 1 for g in units.decisions.groups)
        least = plan_at(units, [0.0, 0.0])
        kept = {key: int(mask.sum()) for key, mask in ranking.masks(least).items()}
        if name == "2:4":  # 1031 is odd: the last three inputs of the second layer stay
            assert kept == {"0.weight": 1000 * 1031 // 2, "1.weight": (1028 // 2 + 3) * 7}


@pytest.mark.parametrize("name", ["2:4", "1:4", "3:8"])
def test_at_its_least_every_layer_holds_the_pattern_along_its_inputs(net, by_granularity, name):
    units = by_granularity[name]
    n, m = Granularity.parse(name).block
    weights = units.rank(net, "l2").weights(plan_at(units, [0.0] * len(units.layouts)))
    for layout in units.layouts:
        lines = weights[layout.tensor].movedim(1, -1).flatten(1)
        whole = lines.shape[1] // m * m
        assert bool(((lines[:, :whole].reshape(-1, m) != 0).sum(1) == n).all())
        assert bool((lines[:, whole:] != 0).all())


def test_what_stays_is_the_largest_and_of_equal_ones_the_first():
    net = nn.Linear(8, 4, bias=False)
    weight = torch.ones(4, 8)
    weight[0, 1], weight[2, 6] = -5.0, 3.0
    net.weight.data = weight
    structure = analyze(net, torch.randn(2, 8))
    units = PruningUnits.of(structure, Granularity.parse("weight"))
    mask = units.rank(net, "l2").masks({"weight": 5})["weight"]
    expected = torch.zeros(4, 8, dtype=torch.bool)
    expected[0, :4], expected[2, 6] = True, True
    assert torch.equal(mask, expected)
    units = PruningUnits.of(structure, Granularity.parse("2:4"))
    mask = units.rank(net, "l2").masks({"weight": 1})["weight"]
    assert mask[1].tolist() == [True, True, False, False] * 2
    assert mask[2].tolist() == [True, True, False, False, True, False, True, False]
    # One more unit: of equal losses the first row is whole again.
    assert units.rank(net, "l2").masks({"weight": 2})["weight"].sum(1).tolist() == [8, 4, 4, 4]


def test_errors_are_the_share_of_the_squares_that_is_lost(net, by_granularity):
    for name in ("weight", "2:4"):
        units = by_granularity[name]
        ranking = units.rank(net, "l2")
        for layout in units.layouts:
            weight = net.state_dict()[layout.tensor].double()
            curve = ranking.errors[layout.group]
            assert curve[-1] == 0
            assert (np.diff(curve) <= 0).all()
            for count in (1, layout.units // 2 or 1):
                plan = dict.fromkeys(units.decisions.sizes, 1) | {layout.group: count}
                gone = ~ranking.masks(plan)[layout.tensor]
                lost = float((weight[gone] ** 2).sum() / (weight**2).sum())
                assert curve[count] == pytest.approx(lost, abs=1e-6)


def test_what_was_pruned_before_goes_first(net, by_granularity):
    for name in PATTERNS:
        units = by_granularity[name]
        ranking = units.rank(net, "random", seed=1)
        before = ranking.masks(plan_at(units, [0.6] * len(units.layouts)))
        again = units.rank(net, "l2", before=before)
        fewer = again.masks(plan_at(units, [0.3] * len(units.layouts)))
        for key, mask in fewer.items():
            assert not bool((mask & ~before[key]).any()), (name, key)


def test_ranking_changes_nothing_and_repeats(net, by_granularity):
    before = {key: value.clone() for key, value in net.state_dict().items()}
    first, second = (by_granularity["2:4"].rank(net, "random", seed=3) for _ in range(2))
    assert all(torch.equal(first.stages[key], second.stages[key]) for key in first.stages)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


# ---- budgets


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("text", ["0.7flops", "0.7params", "0.75bytes", "0.7params,0.8flops"])
def test_budgets_are_met_and_take_no_further_unit(net, by_granularity, name, text):
    units = by_granularity[name]
    budget = Budget.parse(text).bind(units.cost)
    plan = budget.uniform()
    model = masked(net, units, units.rank(net, "l2"), plan)
    for item in budget.constraints:
        assert item.bound == int(item.limit.amount * item.cost.dense)
    spent = {"macs": counted_macs(model), "parameters": units.cost.parameters(plan)}
    assert all(spent[k] <= v for k, v in budget.limits.items() if k in spent)
    quanta = [
        max(
            np.diff(i.cost.along(units.cost.counts(plan), g, budget.choices[g])).max()
            for g in range(len(units.layouts))
        )
        for i in budget.constraints
    ]
    left = [i.bound - i.cost(plan) for i in budget.constraints]
    assert any(rest < quantum for rest, quantum in zip(left, quanta, strict=True))


def test_a_budget_below_the_pattern_names_what_it_reaches(by_granularity):
    with pytest.raises(InfeasibleError, match="cannot go below") as error:
        Budget.parse("0.4flops").bind(by_granularity["2:4"].cost)
    reachable = error.value.hint.removeprefix("ask for at least ")
    Budget.parse(reachable).bind(by_granularity["2:4"].cost)
    assert 0.5 < float(reachable.removesuffix("flops")) < 0.53


# ---- what makes no sense


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0:4", "keeps nothing"),
        ("4:4", "removes nothing"),
        ("5:4", "is no pattern"),
        ("0:0", "keeps nothing"),
        ("2:", "unknown granularity"),
        ("2:4:8", "unknown granularity"),
        ("-2:4", "unknown granularity"),
        ("2:4000", "unknown granularity"),
        ("filter", "unknown granularity"),
        ("", "unknown granularity"),
        ("Channel", "unknown granularity"),
    ],
)
def test_an_unknown_granularity_is_refused_in_one_line(text, said):
    with pytest.raises(UsageError, match=said) as error:
        Granularity.parse(text)
    assert "\n" not in str(error.value.args[0])
    assert error.value.hint


def test_rankings_belong_to_what_they_rank():
    check_ranking(Granularity.parse("2:4"), "l1")
    with pytest.raises(UsageError, match="'bn-scale' orders no single weights"):
        check_ranking(Granularity.parse("weight"), "bn-scale")
    check_ranking(Granularity.parse("channel"), "bn-scale")


def test_a_network_without_a_row_that_long_has_nothing_to_prune():
    structure = analyze(nn.Linear(6, 3), torch.randn(2, 6))
    with pytest.raises(UsageError, match="nothing in the network can be pruned") as error:
        PruningUnits.of(structure, Granularity.parse("1:8"))
    assert "shorter than 1:8" in str(error.value)
    PruningUnits.of(structure, Granularity.parse("1:6"))


# ---- kernels


def test_the_pattern_is_the_one_that_torchs_kernels_store():
    torch.manual_seed(0)
    net = nn.Linear(64, 32)
    units = PruningUnits.of(analyze(net, torch.randn(2, 64)), Granularity.parse("2:4"))
    ranking = units.rank(net, "l2")
    weight = ranking.weights({"weight": 1})["weight"]
    assert is_semi_structured(weight)
    assert not is_semi_structured(ranking.weights({"weight": 2})["weight"])
    stored = sparse_semi_structured_from_dense_cutlass(weight.half())
    assert stored[0].numel() == weight.numel() // 2
    assert torch.equal(sparse_semi_structured_to_dense_cutlass(*stored), weight.half())


def test_a_device_without_kernels_says_so():
    net = nn.Linear(64, 32).half()
    net.weight.data[:, ::2] = 0
    with pytest.raises(UsageError, match="no kernels for 2:4 on cpu"):
        semi_structured(net)
    net.weight.data.fill_(1.0)
    assert semi_structured(net) == ()
