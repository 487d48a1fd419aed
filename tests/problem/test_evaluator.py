"""Evaluation: the same number as the slow way, from the model that was given, every time."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.data.normalization import CIFAR
from autoprune.data.task import Batch
from autoprune.networks import zoo
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, bfloat16_pays
from autoprune.networks.folding import find_foldable, folded
from autoprune.problem.evaluator import Evaluator, EvaluatorParts
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.ranking.recalibration import Recalibration
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.training.loop import measure
from tests.small_nets import Net

TASK = Classification()


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
    return Evaluator(EvaluatorParts(*net, TASK, images(203, 1), images(50, 2)), **options)


def test_a_plan_scores_what_the_slow_way_says(net: tuple[nn.Module, Structure, Ranking]) -> None:
    model, structure, ranking = net
    score = evaluator(net, precision="float32", batch_size=64)
    for fraction in (0.5, 1.0):
        plan = Plan.uniform(structure, fraction)
        recalibrate = recalibration(model, images(50, 2), 64)
        compact = Slicer(model, structure).build(
            ranking.kept(plan), ranking.weights(plan) | recalibrate.references
        )
        recalibrate(compact)
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


def test_batches_too_big_to_hold_are_drawn_each_time(
    net: tuple[nn.Module, Structure, Ranking],
) -> None:
    plan = Plan.uniform(net[1], 0.5)
    held = evaluator(net)(plan)
    drawn = evaluator(net, held=1000)
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
    score = Evaluator(EvaluatorParts(model, structure, ranking, Fit(), data, data), batch_size=32)
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


def recalibration(model: nn.Module, data: Split, batch_size: int = 30) -> Recalibration:
    return Recalibration(model, TASK, Batches(data, batch_size, model, Form(), seed=0))


def recalibrated(
    net: tuple[nn.Module, Structure, Ranking], fraction: float, data: Split
) -> nn.Module:
    model, structure, ranking = net
    plan, recalibrate = Plan.uniform(structure, fraction), recalibration(model, data)
    weights = ranking.weights(plan) | recalibrate.references
    compact = Slicer(model, structure).build(ranking.kept(plan), weights)
    recalibrate(compact)
    return compact


def test_nothing_pruned_moves_no_statistics(net: tuple[nn.Module, Structure, Ranking]) -> None:
    model = net[0]
    for count, tolerance in ((30, 1e-6), (90, 3e-3)):  # in one batch, in several
        compact = recalibrated(net, 1.0, images(count))
        for name, tensor in compact.state_dict().items():
            expected = model.state_dict()[name]
            torch.testing.assert_close(tensor, expected, rtol=tolerance, atol=tolerance)


def test_statistics_move_by_what_pruning_changes(
    net: tuple[nn.Module, Structure, Ranking],
) -> None:
    model, structure, ranking = net
    data = images(30)
    compact = recalibrated(net, 0.5, data)
    stem = ranking.kept(Plan.uniform(structure, 0.5))["stem"]
    with torch.no_grad():  # nothing that the stem reads is pruned
        torch.testing.assert_close(compact.bn.running_mean, model.bn.running_mean[stem])
        torch.testing.assert_close(compact.bn.running_var, model.bn.running_var[stem])
        inner = ranking.kept(Plan.uniform(structure, 0.5))["a"]
        before = [model.a(F.relu(model.bn(model.stem(x)))) for x, _ in data.batches(30, seed=0)]
        after = [
            compact.a(F.relu(compact.bn(compact.stem(x)))) for x, _ in data.batches(30, seed=0)
        ]
    (old_mean, old_var), (mean, var) = averages(before, inner), averages(after)
    moved = model.bn1.running_mean[inner] + mean - old_mean
    torch.testing.assert_close(compact.bn1.running_mean, moved, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(moved, model.bn1.running_mean[inner], atol=1e-3)
    scaled = model.bn1.running_var[inner] * var / old_var
    torch.testing.assert_close(compact.bn1.running_var, scaled, rtol=1e-3, atol=1e-5)


def averages(
    outputs: list[Tensor], channels: Tensor | slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """Mean and variance of every channel, each averaged over batches."""
    pairs = [torch.var_mean(output[:, channels], (0, 2, 3)) for output in outputs]
    return torch.stack([p[1] for p in pairs]).mean(0), torch.stack([p[0] for p in pairs]).mean(0)


def test_recalibration_undoes_a_shift_that_pruning_brought() -> None:
    """Removing a unit that is constant must not change the output."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    ).eval()  # fmt: skip
    with torch.no_grad():
        model[0].weight[2] = 0
        model[0].bias[2] = 3
    data = images(60)
    structure = analyze(model, torch.randn(2, 3, 6, 6))
    units = torch.tensor([0, 1, 3])
    recalibrate = recalibration(model, data)
    slicer = Slicer(model, structure)
    plain = slicer.build({"0": units})
    moved = slicer.build({"0": units}, recalibrate.references)
    recalibrate(moved)
    x = data.content[0]
    with torch.no_grad():
        torch.testing.assert_close(moved(x), model(x), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(plain(x), model(x), atol=1e-2)


def test_recalibration_runs_in_eval_mode_and_leaves_the_model(
    net: tuple[nn.Module, Structure, Ranking],
) -> None:
    model = residual()
    model.dropout = nn.Dropout(0.5)
    model.function = lambda m, x: m.dropout(net[0].function(m, x))
    model.train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    one, again = (recalibration(model, images(60)).references for _ in range(2))
    assert all(tensor.equal(again[name]) for name, tensor in one.items())
    assert all(tensor.equal(state[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_models_without_running_statistics_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    data = Split((torch.randn(6, 4), torch.zeros(6, dtype=torch.int64)))
    recalibrate = recalibration(model, data)
    assert recalibrate.references == {}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recalibrate(model)
    assert all(tensor.equal(state[name]) for name, tensor in model.state_dict().items())


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
    agreeing = Evaluator(EvaluatorParts(model, structure, ranking, TASK, data, data))
    assert agreeing.form.bfloat16 or agreeing(Plan.dense(structure)).score == 1
    with torch.no_grad():
        model.head.bias.fill_(1e4)  # drowns the logits in bfloat16's rounding
    drowned = Evaluator(EvaluatorParts(model, structure, ranking, TASK, data, data))
    assert drowned.form == Form(False, drowned.form.channels_last)
    assert drowned(Plan.dense(structure)).score > 0.9


# On a trained network.


def rows_of(shared: Path, rows: range) -> Split:
    """Training rows of CIFAR-10-JPEG, decoded as few as are asked for."""
    parquet = pytest.importorskip("pyarrow.parquet")
    image = pytest.importorskip("PIL.Image")
    table = parquet.read_table(shared / "data/cifar10_jpeg/data/train-00000-of-00001.parquet")
    table = table.slice(rows.start, len(rows))
    images = [np.array(image.open(BytesIO(row["bytes"]))) for row in table["img"].to_pylist()]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return Split((x, torch.tensor(table["label"].to_pylist())), CIFAR)


def test_trained_resnet_keeps_its_accuracy_by_regression(shared: Path) -> None:
    """Half of the inner channels: L1 28, regression 77; with statistics moved 71 and 80."""
    model = zoo.build("resnet20").eval()
    model.load_state_dict(load_file(shared / "checkpoints/resnet20.safetensors"))
    structure = analyze(model, torch.randn(2, 3, 32, 32))
    calibration, search = rows_of(shared, range(256)), rows_of(shared, range(45_000, 46_000))
    half = {name: size // 2 if "layer" in name else size for name, size in structure.sizes.items()}
    scores = {}
    for method in ("l1", "regression"):
        ranking = rank(model, structure, method, task=TASK, calibration=calibration)
        score = Evaluator(EvaluatorParts(model, structure, ranking, TASK, search, calibration))
        bare = Slicer(model, structure)(ranking.kept(half), ranking.weights(half))
        scores[method] = (measure(bare, search, TASK, precision="auto").score, score(half).score)
    dense = score(structure.sizes).score
    assert dense > 0.84
    assert scores["regression"][0] > scores["l1"][0] + 0.35
    assert scores["regression"][1] > scores["l1"][1] + 0.05
    assert scores["regression"][1] > dense - 0.08
