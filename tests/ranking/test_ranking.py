"""Rankings: orders as promised, errors that are the errors, repairs that are optimal."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, lars_path
from torch import Tensor, nn

from autoprune.data import Split
from autoprune.data.task import Classification
from autoprune.errors import UsageError
from autoprune.ranking import METHODS, WITHOUT_DATA, Ranking, RegressionConfig, rank
from autoprune.ranking.consumers import Consumer, find_consumers, split
from autoprune.ranking.elimination import Reader, eliminate
from autoprune.ranking.gram import Moments, collect, patches, within_memory
from autoprune.ranking.lasso import lasso_order, unit_products
from autoprune.ranking.ordering import by_importance
from autoprune.ranking.regression import refitting
from autoprune.ranking.repair import Joint, Nested, damped, least_squares
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

EVERYTHING = RegressionConfig(rows=10**9)
TASK = Classification()


class Net(nn.Module):
    """A network given by its modules and a forward function."""

    def __init__(self, forward: Callable[..., object], **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> object:
        return self.function(self, x)


def plain() -> nn.Module:
    """Conv (no bias, norm) - conv - flatten - linear: every kind of consumer but a shared one."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = F.relu(m.bn(m.a(x)))
        return m.head(F.relu(m.b(x)).flatten(1))

    torch.manual_seed(0)
    return Net(
        forward,
        a=nn.Conv2d(3, 12, 3, padding=1, bias=False),
        bn=nn.BatchNorm2d(12),
        b=nn.Conv2d(12, 10, 3, stride=2, padding=1, bias=False),
        head=nn.Linear(10 * 9, 4),
    ).eval()


def concat() -> nn.Module:
    """Two producers side by side into one convolution with a bias, and a residual stream."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = torch.cat([F.relu(m.a(x)), F.relu(m.b(x))], 1)
        x = F.relu(m.c(x))
        x = F.relu(x + m.e(F.relu(m.d(x))))
        return m.head(x.mean((2, 3)))

    torch.manual_seed(0)
    return Net(
        forward,
        a=nn.Conv2d(3, 6, 3, padding=1),
        b=nn.Conv2d(3, 8, 1),
        c=nn.Conv2d(14, 10, 3, padding=1),
        d=nn.Conv2d(10, 7, 3, padding=1),
        e=nn.Conv2d(7, 10, 3, padding=1),
        head=nn.Linear(10, 4),
    ).eval()


def images(count: int = 48, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(3, 3, generator=generator)
    x = torch.einsum("ij,njhw->nihw", mix, torch.randn(count, 3, 6, 6, generator=generator))
    return Split((x, torch.randint(0, 4, (count,), generator=generator)))


def structure_of(model: nn.Module) -> Structure:
    return analyze(model, torch.randn(2, 3, 6, 6))


@pytest.fixture(scope="module")
def plain_net() -> tuple[nn.Module, Structure]:
    model = plain()
    return model, structure_of(model)


@pytest.fixture(scope="module")
def concat_net() -> tuple[nn.Module, Structure]:
    model = concat()
    return model, structure_of(model)


def regression(
    net: tuple[nn.Module, Structure], calibration: Split, method: str = "regression"
) -> Ranking:
    return rank(*net, method, task=TASK, calibration=calibration, config=EVERYTHING)


def spd(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows X [4 size, size] of correlated columns, and X'X / rows."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=generator, dtype=torch.float64)
    rows = torch.randn(4 * size, size, generator=generator, dtype=torch.float64) @ mix
    return rows, rows.T @ rows / len(rows)


def residual(rows: Tensor, weights: Tensor, kept: Tensor) -> float:
    """Mean squared error of the best weights on the kept columns, by QR on the rows themselves."""
    target = rows @ weights
    if len(kept) == 0:
        return float(target.square().sum()) / len(rows)
    solved = torch.linalg.lstsq(rows[:, kept], target).solution
    return float((target - rows[:, kept] @ solved).square().sum()) / len(rows)


# Orders by weight.


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_curves_start_at_one_fall_and_end_at_zero(values: list[float]) -> None:
    order, errors = by_importance(torch.tensor(values, dtype=torch.float64))
    assert sorted(order.tolist()) == list(range(len(values)))
    ranked = [values[unit] for unit in order.tolist()]
    assert ranked == sorted(values, reverse=True)
    assert errors.shape == (len(values) + 1,)
    assert errors[-1] == 0
    assert (np.diff(errors) <= 0).all()
    if sum(values) > 0:
        assert errors[0] == pytest.approx(1)
        assert errors[1] == pytest.approx(1 - ranked[0] / sum(values), abs=1e-9)


def test_ties_go_by_index() -> None:
    assert by_importance(torch.tensor([1.0, 2.0, 1.0, 2.0]))[0].tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(("method", "power"), [("l1", 1), ("l2", 2)])
def test_norms_of_the_producer_decide(
    plain_net: tuple[nn.Module, Structure], method: str, power: int
) -> None:
    model, structure = plain_net
    orders = rank(model, structure, method).orders
    expected = model.a.weight.detach().flatten(1).norm(power, dim=1).argsort(descending=True)
    assert orders["a"].tolist() == expected.tolist()


@pytest.mark.parametrize(("method", "power"), [("l1", 1), ("l2", 2)])
def test_neurons_go_by_the_norm_of_their_rows(method: str, power: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 2))
    ranking = rank(model, analyze(model, torch.randn(2, 6)), method)
    for name in ("0", "2"):
        rows = model[int(name)].weight.detach().norm(power, dim=1)
        assert ranking.orders[name].tolist() == rows.argsort(descending=True).tolist()
        assert ranking.errors[name][1] == pytest.approx(1 - float(rows.max() / rows.sum()))


def test_producers_of_one_group_weigh_the_same(concat_net: tuple[nn.Module, Structure]) -> None:
    model, structure = concat_net
    orders = rank(model, structure, "l1").orders["c"]
    with torch.no_grad():
        model.e.weight *= 1000
        scaled = rank(model, structure, "l1").orders["c"]
        model.e.weight /= 1000
    assert scaled.tolist() == orders.tolist()
    norms = [m.weight.detach().abs().sum((1, 2, 3)) for m in (model.c, model.e)]
    expected = sum(norm / norm.mean() for norm in norms).argsort(descending=True)
    assert orders.tolist() == expected.tolist()


def test_scales_of_norms_decide_where_there_are_any(
    plain_net: tuple[nn.Module, Structure],
) -> None:
    model, structure = plain_net
    with torch.no_grad():
        model.bn.weight.copy_(torch.linspace(-3, 2, 12))
    ranking = rank(model, structure, "bn-scale")
    expected = torch.linspace(-3, 2, 12).abs().argsort(descending=True)
    assert ranking.orders["a"].tolist() == expected.tolist()
    assert ranking.orders["b"].equal(rank(model, structure, "l1").orders["b"])
    with torch.no_grad():
        model.bn.weight.fill_(1)


def test_random_is_seeded(plain_net: tuple[nn.Module, Structure]) -> None:
    one, again, other = (rank(*plain_net, "random", seed=seed) for seed in (0, 0, 1))
    assert all(one.orders[name].equal(again.orders[name]) for name in one.orders)
    assert any(not one.orders[name].equal(other.orders[name]) for name in one.orders)
    assert one.errors["a"] == pytest.approx(np.linspace(1, 0, 13))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_orders_every_unit_once(
    concat_net: tuple[nn.Module, Structure], method: str
) -> None:
    model, structure = concat_net
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.d.train()
    ranking = rank(model, structure, method, task=TASK, calibration=images())
    assert model.d.training and not model.c.training
    model.d.eval()
    assert all(not module._forward_pre_hooks for module in model.modules())
    assert all(tensor.equal(state[name]) for name, tensor in model.state_dict().items())
    plan = Plan.uniform(structure, 0.4)
    for group in structure.groups:
        assert sorted(ranking.orders[group.name].tolist()) == list(range(group.size))
        assert ranking.errors[group.name].shape == (group.size + 1,)
        assert ranking.errors[group.name][-1] == 0
        assert (np.diff(ranking.errors[group.name]) <= 0).all()
        kept = ranking.kept(plan)[group.name]
        assert kept.tolist() == sorted(ranking.orders[group.name][: plan[group.name]].tolist())
    assert bool(ranking.weights(plan)) == (method not in WITHOUT_DATA)
    assert ranking.weights(Plan.dense(structure)) == {}


# Backward elimination.


@settings(max_examples=25)
@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 4), st.integers(0, 99))
def test_elimination_is_greedy(units: int, block: int, outputs: int, seed: int) -> None:
    rows, gram = spd(units * block, seed)
    weights = torch.randn(units * block, outputs, dtype=torch.float64)
    removed = eliminate([Reader(torch.linalg.inv(gram), weights.clone(), block)], units)
    alive = list(range(units))
    for unit in removed.tolist():
        errors = {
            candidate: residual(rows, weights, columns(set(alive) - {candidate}, block))
            for candidate in alive
        }
        assert errors[unit] <= min(errors.values()) * (1 + 1e-6)
        alive.remove(unit)


def columns(units: set[int], block: int) -> Tensor:
    places = [unit * block + place for unit in sorted(units) for place in range(block)]
    return torch.tensor(places, dtype=torch.int64)


def test_every_unit_goes_when_several_go_at_once() -> None:
    _, gram = spd(150, 1)
    weights = torch.randn(150, 3, dtype=torch.float64)
    removed = eliminate([Reader(torch.linalg.inv(gram), weights.clone(), 1)], 150)
    assert sorted(removed.tolist()) == list(range(150))


def test_readers_add_up() -> None:
    """The first unit to go is the one whose loss hurts both readers least, each in its measure."""
    (rows, gram), (others, second) = spd(12, 2), spd(12, 3)
    weights = torch.randn(12, 3, dtype=torch.float64)
    readers = [
        Reader(torch.linalg.inv(gram), weights.clone(), 2, energy=5.0),
        Reader(torch.linalg.inv(second), weights.clone(), 2),
    ]
    left = [columns(set(range(6)) - {unit}, 2) for unit in range(6)]
    costs = [residual(rows, weights, kept) / 5 + residual(others, weights, kept) for kept in left]
    assert int(eliminate(readers, 6)[0]) == int(np.argmin(costs))


def test_equal_units_go_by_index() -> None:
    gram = torch.eye(4, dtype=torch.float64)
    removed = eliminate([Reader(gram, torch.ones(4, 1, dtype=torch.float64), 1)], 4)
    assert removed.tolist() == [0, 1, 2, 3]


# Patches and Gram matrices.


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(3, 4, 3, padding=2, dilation=2), (5, 3, 9)),
        (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (5, 3, 7, 6)),
        (nn.Conv2d(3, 4, 3, padding="same", padding_mode="circular"), (5, 3, 7, 6)),
        (nn.Conv2d(3, 4, 3, padding="same"), (3, 7, 6)),
        (nn.Conv3d(2, 4, 2, padding=1), (3, 2, 4, 3, 5)),
        (nn.Linear(6, 4), (3, 5, 6)),
    ],
)
def test_patches_times_weights_are_the_output(module: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    rows = patches(module, x, 10**6, torch.Generator())
    found = rows @ module.weight.flatten(1).T + module.bias
    channels = -1 if isinstance(module, nn.Linear) else -1 - len(module.kernel_size)
    expected = module(x).movedim(channels, -1).reshape(-1, 4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_sampled_patches_are_some_of_all() -> None:
    module, x = nn.Conv2d(3, 4, 3, padding=1), torch.randn(4, 3, 6, 6)
    everything = {tuple(row) for row in patches(module, x, 10**6, torch.Generator()).tolist()}
    some = patches(module, x, 50, torch.Generator().manual_seed(0)).tolist()
    assert len(some) == 50
    assert len({tuple(row) for row in some}) == 50
    assert {tuple(row) for row in some} <= everything


@pytest.mark.parametrize("panel", [7, 1000])
def test_gram_matrices_are_those_of_all_patches(
    plain_net: tuple[nn.Module, Structure], panel: int
) -> None:
    model, structure = plain_net
    data = images()
    small = RegressionConfig(batch=7, rows=10**9, panel=panel)
    moments = collect(model, find_consumers(model, structure), TASK, data, small)
    found = {item.consumer.tensor: item for item in moments}
    assert set(found) == {"b.weight", "head.weight"}
    with torch.no_grad():
        x = F.relu(model.bn(model.a(data.content[0])))
        rows = F.unfold(x, 3, stride=2, padding=1).transpose(1, 2).reshape(-1, 108)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], 1).double()
    torch.testing.assert_close(
        found["b.weight"].gram, rows.T @ rows / len(rows), rtol=1e-4, atol=1e-5
    )
    assert found["b.weight"].consumer.bias is None
    assert found["head.weight"].consumer.bias == "head.bias"
    assert found["head.weight"].consumer.groups["b"].shape == (10, 9)


# Repair.


@pytest.mark.parametrize("bias", [True, False])
def test_repair_agrees_with_scikit_learn(bias: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 5, bias=bias), nn.Linear(5, 2))
    data = Split((torch.randn(4000, 6), torch.zeros(4000, dtype=torch.int64)))
    structure = analyze(model, torch.randn(2, 6))
    ranking = regression((model, structure), data)
    plan = Plan.of({"0": 5, "2": 5})
    kept = ranking.kept(plan)["0"]
    with torch.no_grad():
        x = model[1](model[0](data.content[0]))
        y = model[2](x)
    fit = LinearRegression(fit_intercept=bias).fit(x[:, kept].numpy(), y.numpy())
    repaired = ranking.weights(plan)
    found = repaired["2.weight"]
    assert not found[:, [unit for unit in range(12) if unit not in kept]].any()
    np.testing.assert_allclose(found[:, kept], fit.coef_, atol=0.02)
    assert ("2.bias" in repaired) == bias
    if bias:
        np.testing.assert_allclose(repaired["2.bias"], fit.intercept_, atol=0.02)


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(1, 3), st.data())
def test_nested_and_joint_solve_the_same_system(
    units: int, block: int, data: st.DataObject
) -> None:
    size = units * block + 2
    _, gram = spd(size, data.draw(st.integers(0, 99)))
    places = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    index = places[: units * block].view(units, block)
    weights = torch.randn(size - 1, 3, dtype=torch.float64)
    index = index.where(index < size - 1, places[-1])
    moments = moments_of(gram, weights, {"g": index}, bias=data.draw(st.booleans()))
    orders = {"g": torch.randperm(units)}
    plan = {"g": data.draw(st.integers(1, units))}
    (one, nested), (two, joint) = Nested(moments, orders)(plan), Joint(moments, orders)(plan)
    assert one.sort().values.equal(two.sort().values)
    torch.testing.assert_close(nested[one.argsort()], joint[two.argsort()])
    regularized, extended = damped(moments)
    direct = torch.linalg.solve(regularized[one][:, one], (regularized @ extended)[one])
    torch.testing.assert_close(nested, direct)
    torch.testing.assert_close(least_squares(regularized, regularized @ extended, one), direct)


def moments_of(gram: Tensor, weights: Tensor, groups: dict[str, Tensor], bias: bool) -> Moments:
    weight = weights.T.contiguous()
    consumer = Consumer(
        "w.weight", "w.bias" if bias else None, weight, (), torch.arange(len(weights)), groups
    )
    return Moments(consumer, gram, weights)


def test_nothing_missing_changes_nothing(plain_net: tuple[nn.Module, Structure]) -> None:
    """With damping on both sides the solution for all columns is the weights as they are."""
    model, structure = plain_net
    moments = collect(model, find_consumers(model, structure), TASK, images(4), RegressionConfig())
    for item in moments:
        ((name, index),) = item.consumer.groups.items()
        columns, solved = Nested(item, {name: torch.arange(len(index))})({name: len(index)})
        inner = solved[columns.argsort()][: len(item.weights)]
        torch.testing.assert_close(inner, item.weights, rtol=1e-5, atol=1e-6)


SENSITIVITY = {"c.weight": 3.0, "d.weight": 0.5, "e.weight": 2.0, "head.weight": 7.0}
READERS = {"a": ["c"], "b": ["c"], "c": ["d", "head"], "d": ["e"]}


def weighted(net: tuple[nn.Module, Structure], data: Split) -> Ranking:
    """Rank by known sensitivities and almost no damping, so that errors can be computed here."""
    model, structure = net
    config = RegressionConfig(rows=10**9, damping=1e-9)
    moments = collect(model, find_consumers(model, structure), TASK, data, config)
    return refitting("regression", model, structure, moments, lambda _: SENSITIVITY)


@pytest.mark.parametrize("name", ["c", "d"])
def test_errors_are_what_pruning_a_group_does_to_its_consumers(
    concat_net: tuple[nn.Module, Structure], name: str
) -> None:
    model, structure = concat_net
    data = images(64)
    ranking = weighted(concat_net, data)
    for count in (1, structure.sizes[name] // 2):
        plan = Plan.of(structure.sizes | {name: count})
        measured = sum(
            SENSITIVITY[f"{one}.weight"] * output_error(model, ranking, plan, one, data)
            for one in READERS[name]
        )
        assert ranking.errors[name][count] == pytest.approx(measured, rel=1e-3)


def test_errors_of_groups_read_side_by_side_add_up_where_all_shrink_alike(
    concat_net: tuple[nn.Module, Structure],
) -> None:
    """Alone, either would be made up for by the other."""
    model, structure = concat_net
    data = images(64)
    ranking = weighted(concat_net, data)
    for a, b in ((3, 4), (0, 0)):
        kept = {"a": a, "b": b}
        whole = ranking.errors["a"][a] + ranking.errors["b"][b]
        if a:
            plan = Plan.of(structure.sizes | kept)
            joint = SENSITIVITY["c.weight"] * output_error(model, ranking, plan, "c", data)
            assert whole == pytest.approx(joint, rel=1e-3)
            for name in kept:
                alone = Plan.of(structure.sizes | {name: kept[name]})
                by_itself = output_error(model, ranking, alone, "c", data)
                assert ranking.errors[name][kept[name]] > SENSITIVITY["c.weight"] * by_itself
        else:
            assert whole == pytest.approx(SENSITIVITY["c.weight"], rel=1e-3)


def output_error(model: nn.Module, ranking: Ranking, plan: Plan, path: str, data: Split) -> float:
    """Squared error of one module's output / its variance, its input as in the dense model."""
    seen: list[Tensor] = []
    module = model.get_submodule(path)
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model(data.content[0])
    handle.remove()
    tensors = {f"{path}.{name}": value for name, value in module.named_parameters()}
    tensors |= {name: value for name, value in ranking.weights(plan).items() if name in tensors}
    own = {name.removeprefix(f"{path}."): value for name, value in tensors.items()}
    with torch.no_grad():
        before = module(seen[0]).movedim(1, -1).reshape(-1, module.weight.shape[0])
        after = torch.func.functional_call(module, own, seen[0]).movedim(1, -1)
    error = (after.reshape(before.shape) - before).square().sum()
    return float(error / (before - before.mean(0)).square().sum())


def test_two_groups_are_refitted_together(concat_net: tuple[nn.Module, Structure]) -> None:
    """Repairing for the union of what goes must beat repairing for either group alone."""
    model, structure = concat_net
    data = images(64)
    ranking = regression(concat_net, data)
    sizes = structure.sizes
    plan = Plan.of(sizes | {"a": 3, "b": 4})
    joint = ranking.weights(plan)["c.weight"]
    gone = torch.ones(14, dtype=torch.bool)
    kept = ranking.kept(plan)
    gone[torch.cat([kept["a"], kept["b"] + 6])] = False
    assert not joint[:, gone].any() and joint[:, ~gone].any()
    apart = ranking.weights(Plan.of(sizes | {"a": 3}))["c.weight"].clone()
    apart[:, gone] = 0
    alone = Ranking("test", ranking.orders, ranking.errors, (lambda _: {"c.weight": apart},))
    assert output_error(model, ranking, plan, "c", data) < output_error(
        model, alone, plan, "c", data
    )


@pytest.mark.parametrize("net", ["plain_net", "concat_net"])
def test_regression_keeps_the_output_better_than_l1(
    net: str, request: pytest.FixtureRequest
) -> None:
    model, structure = request.getfixturevalue(net)
    slicer, plan = Slicer(model, structure), Plan.uniform(structure, 0.5)
    fresh = images(64, seed=0).content[0]
    errors = {}
    for method in ("l1", "lasso", "regression"):
        ranking = regression((model, structure), images(256), method)
        with torch.no_grad():
            compact = slicer(ranking.kept(plan), ranking.weights(plan))(fresh)
            errors[method] = float((compact - model(fresh)).square().mean())
    assert errors["regression"] < 0.5 * errors["l1"]
    assert errors["lasso"] < 0.7 * errors["l1"]


def test_same_seed_same_ranking(concat_net: tuple[nn.Module, Structure]) -> None:
    model, structure = concat_net
    plan = Plan.uniform(structure, 0.5)
    few = RegressionConfig(rows=150)
    one, again, other = (
        rank(model, structure, "regression", task=TASK, calibration=images(), seed=seed, config=few)
        for seed in (0, 0, 1)
    )
    assert all(one.orders[name].equal(again.orders[name]) for name in one.orders)
    assert all(
        tensor.equal(again.weights(plan)[name]) for name, tensor in one.weights(plan).items()
    )
    assert (one.errors["a"] != other.errors["a"]).any()


def test_repairs_are_remembered_within_bounds(plain_net: tuple[nn.Module, Structure]) -> None:
    ranking = regression(plain_net, images())
    plan = Plan.of({"a": 5, "b": 5})
    first = ranking.weights(plan)
    assert ranking.weights(plan)["b.weight"] is first["b.weight"]
    assert ranking.weights(Plan.of({"a": 5, "b": 4}))["b.weight"] is first["b.weight"]
    config = RegressionConfig(rows=10**9, remembered=0)
    forgetful = rank(*plain_net, "regression", task=TASK, calibration=images(), config=config)
    before = forgetful.weights(plan)["b.weight"]
    forgetful.weights(Plan.of({"a": 7, "b": 7}))
    assert forgetful.weights(plan)["b.weight"] is not before
    assert forgetful.weights(plan)["b.weight"].equal(first["b.weight"])


# What is a consumer and what is not.


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inp, self.head = nn.Linear(5, 8), nn.Linear(12, 3)
        self.rnn = nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(F.relu(self.inp(x)))[0][:, -1])


def test_recurrent_layers_read_through_their_first_input_weights() -> None:
    torch.manual_seed(0)
    model = Recurrent()
    structure = analyze(model, torch.randn(2, 7, 5))
    data = Split((torch.randn(40, 7, 5), torch.zeros(40, dtype=torch.int64)))
    ranking = regression((model, structure), data)
    repaired = ranking.weights(Plan.uniform(structure, 0.5))
    assert {"rnn.weight_ih_l0", "rnn.weight_ih_l0_reverse", "rnn.bias_ih_l0"} <= set(repaired)
    assert not any("hh" in name or "l1" in name for name in repaired)
    gates = F.linear(F.relu(model.inp(data.content[0])), model.rnn.weight_ih_l0)
    moments = {
        item.consumer.tensor: item
        for item in collect(model, find_consumers(model, structure), TASK, data, EVERYTHING)
    }["rnn.weight_ih_l0"]
    second = moments.weights.T @ moments.gram[:8, :8] @ moments.weights
    expected = gates.detach().flatten(0, 1).double()
    torch.testing.assert_close(second, expected.T @ expected / len(expected), rtol=1e-4, atol=1e-5)


class Tied(nn.Module):
    """An embedding and an output layer share their weight; the inner layer is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.inner = nn.Embedding(9, 6), nn.Linear(6, 6)
        self.out = nn.Linear(6, 9)
        self.out.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(F.relu(self.inner(self.embed(x)))).mean(1))


def test_weights_that_also_produce_are_left_alone() -> None:
    torch.manual_seed(0)
    model, tokens = Tied(), torch.randint(0, 9, (30, 4))
    structure = analyze(model, tokens[:2])
    consumers = find_consumers(model, structure)
    assert [consumer.tensor for consumer in consumers] == ["inner.weight"]
    data = Split((tokens, torch.zeros(30, dtype=torch.int64)))
    (moments,) = collect(model, consumers, TASK, data, EVERYTHING)
    with torch.no_grad():
        first = model.embed(tokens)
        rows = torch.cat([first, F.relu(model.inner(first))]).flatten(0, 1).double()
    torch.testing.assert_close(
        moments.gram[:6, :6], rows.T @ rows / len(rows), rtol=1e-4, atol=1e-5
    )


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 6)
        self.w = nn.Parameter(torch.randn(3, 6))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(F.linear(F.relu(self.a(x)), self.b.weight, self.b.bias))
        return F.linear(hidden, self.w)


def test_products_outside_modules_fall_back_on_l1_without_repair() -> None:
    torch.manual_seed(0)
    model = Functional()
    structure = analyze(model, torch.randn(2, 4))
    data = Split((torch.randn(30, 4), torch.zeros(30, dtype=torch.int64)))
    ranking = regression((model, structure), data)
    plain_order = rank(model, structure, "l1")
    assert ranking.weights(Plan.uniform(structure, 0.5)) == {}
    for name in structure.sizes:
        assert ranking.orders[name].equal(plain_order.orders[name])
        assert (ranking.errors[name] == plain_order.errors[name]).all()  # nothing to scale by


# Memory.


def test_wide_consumers_are_split_by_place(plain_net: tuple[nn.Module, Structure]) -> None:
    model, structure = plain_net
    for consumer in find_consumers(model, structure):
        total = len(consumer.columns)
        for limit in (total, total // 2, total // 3 + 1, 12):
            parts = split(consumer, limit)
            assert max(len(part.columns) for part in parts) <= limit
            assert torch.cat([part.columns for part in parts]).sort().values.equal(consumer.columns)
            (whole,) = consumer.groups.values()
            pieces = [part.columns[index] for part in parts for index in part.groups.values()]
            assert torch.cat(pieces, 1).sort(1).values.equal(consumer.columns[whole])
        assert split(consumer, 5) == []
    consumers = find_consumers(model, structure)
    fitted = within_memory(consumers, RegressionConfig(memory=60_000))
    assert sum(8 * (len(part.columns) + 1) ** 2 for part in fitted) <= 60_000
    assert len(fitted) > len(consumers)
    assert within_memory(consumers, RegressionConfig(memory=0)) == []


def test_split_repairs_still_repair(plain_net: tuple[nn.Module, Structure]) -> None:
    model, structure = plain_net
    data, plan = images(256), Plan.uniform(structure, 0.5)
    fresh, slicer = images(64).content[0], Slicer(model, structure)
    errors = []
    for columns_at_most in (4608, 40):
        few = RegressionConfig(rows=10**9, columns=columns_at_most)
        ranking = rank(model, structure, "regression", task=TASK, calibration=data, config=few)
        with torch.no_grad():
            compact = slicer(ranking.kept(plan), ranking.weights(plan))(fresh)
            bare = slicer(ranking.kept(plan))(fresh)
            dense = model(fresh)
        errors.append(float((compact - dense).square().mean()))
        assert errors[-1] < 0.7 * float((bare - dense).square().mean())
    assert errors[0] < errors[1]


# Lasso.


def test_lasso_order_is_that_of_the_path_on_the_samples() -> None:
    torch.manual_seed(3)
    rows = torch.relu(torch.randn(300, 14, dtype=torch.float64) @ torch.randn(14, 14).double())
    weights = torch.randn(14, 4, dtype=torch.float64)
    index = torch.arange(14).view(7, 2)
    gram = torch.cat([rows, torch.ones(300, 1)], 1)
    moments = moments_of(gram.T @ gram / 300, weights, {"g": index}, bias=False)
    parts = torch.stack([(rows[:, unit] @ weights[unit]).ravel() for unit in index], 1)
    torch.testing.assert_close(
        unit_products(moments, "g"), parts.T @ parts / 300, rtol=1e-2, atol=1e-2
    )
    _, active, _ = lars_path(parts.numpy(), parts.sum(1).numpy(), method="lasso")
    assert lasso_order("g", [moments]).tolist()[:4] == list(active)[:4]


def test_lasso_survives_dead_and_equal_units() -> None:
    rows = torch.randn(50, 2, dtype=torch.float64)
    rows = torch.cat([rows, rows[:, :1], torch.zeros(50, 2), torch.ones(50, 1)], 1)
    weights = torch.ones(5, 3, dtype=torch.float64)
    gram = rows.T @ rows / 50
    moments = moments_of(gram, weights, {"g": torch.arange(5)[:, None]}, bias=True)
    order = lasso_order("g", [moments])
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert set(order[-2:].tolist()) == {3, 4}


# Bad input.


def test_unknown_method_names_the_known() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    structure = analyze(model, torch.randn(2, 2))
    with pytest.raises(UsageError, match=r"unknown ranking 'L3'.*regression"):
        rank(model, structure, "L3")
    with pytest.raises(UsageError, match="needs calibration data"):
        rank(model, structure, "regression")


def test_broken_weights_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    structure = analyze(model, torch.randn(2, 2))
    model[1].weight.data[0, 0] = torch.nan
    with pytest.raises(UsageError, match=r"1\.weight of the model holds NaN"):
        rank(model, structure, "l1")


def test_overflowing_activations_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 3), nn.Linear(3, 2))
    structure = analyze(model, torch.randn(2, 2))
    model[0].weight.data.fill_(1e30)
    data = Split((torch.full((4, 2), 1e30), torch.zeros(4, dtype=torch.int64)))
    with pytest.raises(UsageError, match=r"input of '1.weight' is NaN or infinite"):
        rank(model, structure, "regression", task=TASK, calibration=data)
