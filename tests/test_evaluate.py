"""Evaluation: the same number as the slow way, from the model that was given, every time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.analysis import analyze
from autoprune.data import Split
from autoprune.evaluate import Evaluator, recalibrate
from autoprune.execution import Form, bfloat16_pays
from autoprune.folding import find_foldable, folded
from autoprune.plan import Plan
from autoprune.ranking import Ranking, rank
from autoprune.recover import measure
from autoprune.slicing import Slicer
from autoprune.structure import Structure
from autoprune.task import Batch, Classification

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


def residual() -> nn.Module:
    """A block with norms whose scale, shift and statistics are all away from their defaults."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = F.relu(m.bn(m.stem(x)))
        x = F.relu(x + m.bn2(m.b(F.relu(m.bn1(m.a(x))))))
        return m.head(x.mean((2, 3)))

    torch.manual_seed(0)
    model = Net(
        forward,
        stem=nn.Conv2d(3, 8, 3, padding=1, bias=False),
        bn=nn.BatchNorm2d(8),
        a=nn.Conv2d(8, 12, 3, padding=1, bias=True),
        bn1=nn.BatchNorm2d(12),
        b=nn.Conv2d(12, 8, 3, padding=1, bias=False),
        bn2=nn.BatchNorm2d(8, affine=False),
        head=nn.Linear(8, 5),
    )
    disturb(model)
    return model.eval()


def disturb(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.uniform_(module.bias, -1, 1)


def images(count: int, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, 6, 6, generator=generator) + 0.5
    return Split((x, torch.randint(0, 5, (count,), generator=generator)))


@pytest.fixture(scope="module")
def net() -> tuple[nn.Module, Structure, Ranking]:
    model = residual()
    structure = analyze(model, torch.randn(2, 3, 6, 6))
    ranking = rank(model, structure, "regression", task=TASK, calibration=images(60))
    return model, structure, ranking


def evaluator(net: tuple[nn.Module, Structure, Ranking], **options: Any) -> Evaluator:
    return Evaluator(*net, TASK, images(203, 1), images(50, 2), **options)


def test_a_plan_scores_what_the_slow_way_says(net: tuple[nn.Module, Structure, Ranking]) -> None:
    model, structure, ranking = net
    score = evaluator(net, precision="float32", batch_size=64)
    for fraction in (0.5, 1.0):
        plan = Plan.uniform(structure, fraction)
        compact = Slicer(model, structure).build(ranking.kept(plan), ranking.weights(plan))
        recalibrate(compact, images(50, 2), TASK, batch_size=64)
        slow = measure(compact, images(203, 1), TASK)
        found = score(plan)
        assert found.score == pytest.approx(slow.score, abs=1e-9)
        assert found.loss == pytest.approx(slow.loss, rel=1e-5)
        assert found.seconds > 0


def test_the_model_stays_and_nothing_carries_over(
    net: tuple[nn.Module, Structure, Ranking],
) -> None:
    model, structure, _ = net
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    score = evaluator(net)
    plans = [Plan.uniform(structure, fraction) for fraction in (0.3, 1.0, 0.6)]
    first = [(score(plan).score, score(plan).loss) for plan in plans]
    second = [(score(plan).score, score(plan).loss) for plan in reversed(plans)]
    assert first == second[::-1]
    assert len({loss for _, loss in first}) == 3
    fresh = evaluator(net)(plans[2])
    assert (fresh.score, fresh.loss) == first[2]
    assert all(module.training for module in model.modules())
    model.eval()
    assert all(tensor.equal(state[name]) for name, tensor in model.state_dict().items())
    assert all(isinstance(tensor, nn.Parameter) for tensor in model.parameters())


def test_batches_too_big_to_hold_are_drawn_anew(
    net: tuple[nn.Module, Structure, Ranking], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan.uniform(net[1], 0.5)
    held = evaluator(net)(plan)
    monkeypatch.setattr("autoprune.evaluate.HELD", 1000)
    drawn = evaluator(net)
    for _ in range(2):
        assert (drawn(plan).score, drawn(plan).loss) == (held.score, held.loss)


class Fit:
    """A task of the user's: dict batches, keyword inputs, a score that is no accuracy."""

    name = "fit"

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {"x": batch["x"]}

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return (outputs - batch["target"]).square().mean()

    def score(self, outputs: Any, batch: Batch) -> Tensor:
        return torch.exp(-(outputs - batch["target"]).square().mean(1))


def test_any_task_and_no_norms() -> None:
    torch.manual_seed(0)
    model = Net(lambda m, x: m.b(F.relu(m.a(x))), a=nn.Linear(4, 10), b=nn.Linear(10, 3))
    structure = analyze(model, {"x": torch.randn(2, 4)})
    x = torch.randn(70, 4)
    data = Split({"x": x, "target": model(x).detach()})
    ranking = rank(model, structure, "regression", task=Fit(), calibration=data)
    score = Evaluator(model, structure, ranking, Fit(), data, data, batch_size=32)
    dense, half = (score(Plan.uniform(structure, fraction)) for fraction in (1.0, 0.5))
    assert dense.score == pytest.approx(1)
    assert dense.loss == pytest.approx(0, abs=1e-9)
    plan = Plan.uniform(structure, 0.5)
    compact = Slicer(model, structure)(ranking.kept(plan), ranking.weights(plan))
    with torch.no_grad():
        error = (compact(x) - model(x)).square()
    assert half.loss == pytest.approx(float(error.mean()), rel=1e-5)
    assert half.score == pytest.approx(float(torch.exp(-error.mean(1)).mean()), rel=1e-5)


# Recalibration.


def test_statistics_are_the_plain_average_over_batches() -> None:
    model, data = residual(), images(90)
    model.bn.momentum = 0.3
    recalibrate(model, data, TASK, batch_size=30)
    outputs = [model.stem(batch[0]).detach() for batch in data.batches(30, seed=0)]
    means = torch.stack([output.mean((0, 2, 3)) for output in outputs])
    variances = torch.stack([output.var((0, 2, 3)) for output in outputs])
    torch.testing.assert_close(model.bn.running_mean, means.mean(0))
    torch.testing.assert_close(model.bn.running_var, variances.mean(0))
    assert model.bn.momentum == 0.3
    assert not any(module.training for module in model.modules())


def test_recalibration_forgets_what_was_there() -> None:
    one, other = residual(), residual()
    disturb(other)
    other.load_state_dict(
        {
            name: tensor if "running" in name else one.state_dict()[name]
            for name, tensor in other.state_dict().items()
        }
    )
    for model in (one, other):
        recalibrate(model, images(40), TASK)
    for name, tensor in one.state_dict().items():
        assert tensor.equal(other.state_dict()[name])


def test_dropout_stays_off_during_recalibration() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    data = Split((torch.ones(20, 3, 6, 6), torch.zeros(20, dtype=torch.int64)))
    recalibrate(model, data, TASK)
    assert float(model[2].running_var.max()) < 1e-6
    assert model[0].training and model[2].training


# Folding.


def test_folding_keeps_the_output_and_undoes_itself() -> None:
    model, batch = residual(), next(images(7).batches(7))
    pairs = find_foldable(model, TASK, batch)
    names = {module: name for name, module in model.named_modules()}
    found = {(names[pair.conv], names[pair.norm]) for pair in pairs}
    assert found == {("stem", "bn"), ("a", "bn1"), ("b", "bn2")}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain = model(batch[0])
    with pytest.raises(RuntimeError), folded(pairs):
        torch.testing.assert_close(model(batch[0]), plain, rtol=1e-4, atol=1e-5)
        model.bn.running_mean.mul_(1)  # statistics are no longer looked at
        raise RuntimeError
    assert model(batch[0]).equal(plain)
    assert all(tensor.equal(state[name]) for name, tensor in model.state_dict().items())
    assert model.stem.bias is None
    assert list(model.state_dict()) == list(state)


def test_norms_are_skipped_while_folded() -> None:
    model, batch = residual(), next(images(7).batches(7))
    pairs = find_foldable(model, TASK, batch)
    with folded(pairs):
        expected = model(batch[0])
        for pair in pairs:
            pair.norm.running_mean.fill_(torch.nan)
        assert model(batch[0]).equal(expected)


@pytest.mark.parametrize("kind", ["used twice", "called twice", "norm first", "train statistics"])
def test_what_cannot_be_folded_is_not(kind: str) -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        if kind == "norm first":
            return m.conv(F.relu(m.norm(x)))
        y = m.conv(x)
        if kind == "used twice":
            return m.norm(y) + y
        if kind == "called twice":
            return m.norm(m.conv(m.norm(y)))
        return m.norm(y)

    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, track_running_stats=kind != "train statistics")
    model = Net(forward, conv=nn.Conv2d(3, 3, 1), norm=norm).eval()
    if norm.running_mean is not None:
        disturb(model)
    assert find_foldable(model, TASK, next(images(4).batches(4))) == ()


# Arithmetic.


def test_float32_can_be_asked_for(net: tuple[nn.Module, Structure, Ranking]) -> None:
    assert not evaluator(net, precision="float32").form.bfloat16


def wide() -> tuple[nn.Module, Split, Batch]:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.head(F.relu(m.b(F.relu(m.a(x)))).mean((2, 3)))

    torch.manual_seed(0)
    model = Net(
        forward,
        a=nn.Conv2d(3, 16, 3, padding=1),
        b=nn.Conv2d(16, 16, 3, padding=1),
        head=nn.Linear(16, 5),
    )
    x = torch.randn(64, 3, 16, 16)
    data = Split((x, model(x).argmax(1)))
    batch = next(data.batches(2))
    if not bfloat16_pays(model, TASK, batch):
        pytest.skip("this machine is no faster in bfloat16")
    return model, data, batch


def test_bfloat16_is_used_where_it_agrees_only() -> None:
    model, data, _ = wide()
    with torch.no_grad():
        model.head.weight.mul_(50)  # clear decisions
    data = Split((data.content[0], model(data.content[0]).argmax(1)))
    structure = analyze(model, data.content[0][:2])
    ranking = rank(model, structure, "l1")
    agreeing = Evaluator(model, structure, ranking, TASK, data, data)
    assert agreeing.form.bfloat16 or agreeing(Plan.dense(structure)).score == 1
    with torch.no_grad():
        model.head.bias.fill_(1e4)  # drowns the logits in bfloat16's rounding
    drowned = Evaluator(model, structure, ranking, TASK, data, data)
    assert drowned.form == Form(False, drowned.form.channels_last)
    assert drowned(Plan.dense(structure)).score > 0.9
