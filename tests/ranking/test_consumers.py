"""Consumers: which weights are repaired, and how wide ones are split."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.data import Split
from autoprune.ranking.consumers import find_consumers, split
from autoprune.ranking.gram import RegressionConfig, collect, within_memory
from autoprune.ranking.rank import rank
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from tests.small_nets import EVERYTHING, TASK, images, regression


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
