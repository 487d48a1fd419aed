"""Objects in place of names: searcher, ranking, reward, task, evaluate, finetune, callbacks."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import autoprune
from autoprune.envs.rewards import Reward
from autoprune.errors import UsageError, UserCodeError
from autoprune.runs.journal import read_journal
from tests.owncode import DATA, NETS


@pytest.fixture(scope="module")
def code():
    """Namespaces of the networks and the data of a user."""
    nets, data = {}, {}
    exec(NETS, nets)
    exec(DATA, data)
    return nets, data


@pytest.fixture(scope="module")
def trained(code):
    torch.manual_seed(0)
    model, (images, labels) = code[0]["wide"](), code[1]["make"]()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


@pytest.fixture
def search(trained, code, tmp_path, monkeypatch):
    """A quick search of the user's network in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    quick = {"agent": "random", "evaluations": 6, "finetune_epochs": 0, "progress": False}

    def run(**options):
        data = code[1]["loaders"]()
        return autoprune.search(trained, data, "0.5flops", **(quick | options))

    return run


class Widest:
    """Evaluates plans that keep as many units as the budget allows, of one group after another."""

    def search(self, problem, ledger, seed):
        for group in range(len(problem.structure.groups)):
            counts = problem.budget.smallest.copy()
            counts[group] = problem.budget.interval([*counts[:group]])[1]
            while not problem.budget.fits(counts):
                counts[group] -= 1
            if ledger.left:
                ledger.evaluate(problem.cost.plan(counts))


def tried(result):
    return [record["plan"] for record in read_journal(result.run / "evaluations.jsonl")]


def test_a_searcher_of_ones_own_spends_the_evaluations(search):
    result = search(searcher=Widest())
    assert result.evaluations == len(tried(result)) == 2
    assert result.agent.startswith("Widest@")
    assert dict(result.plan) in tried(result)
    assert search(searcher="uniform").agent == "uniform"


def test_a_ranking_of_ones_own_decides_which_units_stay(search, trained):
    def last_first(model, structure):
        return {group.name: torch.arange(group.size) for group in structure.groups}

    result = search(ranking=last_first, agent="uniform")
    kept = result.plan["conv1"]
    assert torch.equal(result.model.conv1.weight, trained.conv1.weight[-kept:])
    assert result.ranking.startswith("last_first@")

    def orders(model, structure, seed, calibration):
        assert len(calibration) > 10
        sizes = {group.name: group.size for group in structure.groups}
        return {n: (torch.arange(s).flip(0), np.arange(s, -1, -1)) for n, s in sizes.items()}

    again = search(ranking=orders, agent="uniform")
    assert torch.equal(again.model.conv1.weight, result.model.conv1.weight)


def test_a_reward_of_ones_own_is_what_the_agent_maximizes(search):
    seen = []

    def frugal(evaluation):
        seen.append(evaluation)
        return evaluation.score - 0.1 * evaluation.loss

    result = search(reward=frugal, agent="ddpg")
    losses = {record["loss"] for record in read_journal(result.run / "evaluations.jsonl")}
    assert losses == {found.loss for found in seen}
    named = Reward("halved", lambda evaluation: evaluation.score / 2)
    assert search(reward=named).plan == search().plan  # random search maximizes nothing


def test_evaluate_replaces_loss_and_score_also_of_the_finalists(search):
    """The loss is the number of parameters, so that the smallest network must win."""
    seen = []

    def evaluate(model):
        assert not any(module.training for module in model.modules())
        torch.rand(3), np.random.rand()  # as a shuffling loader does
        size = sum(value.numel() for value in model.parameters())
        seen.append(size)
        return size, 0.25

    result = search(evaluate=evaluate, run="whole")
    records = read_journal(result.run / "evaluations.jsonl")
    assert [record["loss"] for record in records] == seen[: len(records)]
    best = min(records, key=lambda record: record["loss"])
    assert dict(result.plan) == best["plan"] and result.score == 0.25
    with pytest.raises(UsageError, match=r"evaluate=.*start over"):
        search(run="whole")


@pytest.mark.parametrize(
    ("found", "said"), [(0.5, "not a loss and a score"), (("a", "b"), "two numbers")]
)
def test_an_evaluate_that_returns_something_else_is_refused(search, found, said):
    with pytest.raises(UsageError, match=said):
        search(evaluate=lambda model: found)


def test_an_evaluation_that_is_not_finite_counts_as_failed(search):
    calls = []

    def evaluate(model):
        calls.append(0)
        return (float("nan") if len(calls) < 3 else 1.0, 0.5)

    records = read_journal(search(evaluate=evaluate).run / "evaluations.jsonl")
    assert [record["failed"] for record in records[:3]] == [True, True, False]


def test_finetune_replaces_the_training(search):
    batches = []

    def finetune(model, train, validation):
        batches.extend([len(train), len(list(train)), len(list(validation))])
        first, second = (torch.cat([x for x, _ in train]) for _ in range(2))
        assert sorted(first.flatten().tolist()) == sorted(second.flatten().tolist())
        assert not torch.equal(first, second)  # every epoch in an order of its own
        nn.init.constant_(model.head.bias, 0.125)
        return model

    result = search(finetune=finetune, finetune_epochs=1)
    assert torch.equal(result.model.head.bias, torch.full((3,), 0.125))
    assert batches[0] == batches[1] >= 1 and batches[2] >= 1


def widened(model):
    model.head = nn.Linear(model.head.in_features, 4)
    return model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: None, "returns NoneType"),
        (widened, "'head.bias' differs"),
        (lambda model: nn.init.constant_(model.head.bias, torch.inf) is None or model, "infinite"),
        (lambda model: model.nothing, "finetune.. fails: AttributeError"),
    ],
)
def test_a_finetune_that_returns_something_else_is_refused(search, change, said):
    with pytest.raises(UsageError, match=said):
        search(finetune=lambda model, train, validation: change(model), finetune_epochs=1)


class Listening:
    def __init__(self, until=None):
        self.trials, self.epochs, self.until = [], [], until

    def on_evaluation(self, trial):
        self.trials.append(trial)
        if trial.number == self.until:
            trial.stop("enough")

    def on_epoch(self, epoch):
        self.epochs.append(epoch)
        if epoch.training == "finetune" and epoch.number == 2:
            epoch.stop()


def test_callbacks_hear_of_everything_and_may_stop(search):
    listening = Listening(until=2)
    result = search(callbacks=[listening], finetune_epochs=4, evaluations=30)
    assert 2 <= result.evaluations <= 6  # those of a batch are finished
    assert [trial.number for trial in listening.trials] == [*range(1, result.evaluations + 1)]
    assert [dict(trial.plan) for trial in listening.trials] == tried(result)
    best = np.minimum.accumulate([trial.loss for trial in listening.trials])
    assert [trial.best_loss for trial in listening.trials] == best.tolist()
    epochs = [(epoch.training, epoch.number) for epoch in listening.epochs]
    tuned = [("finetune", 1), ("finetune", 2)]
    assert epochs == tuned + [("finetune-plain", number) for number in (1, 2, 3, 4)]
    stopped = f"stopped after {result.evaluations} of 30 evaluations: enough"
    assert stopped in " ".join(result.warnings)


def test_a_callback_that_raises_is_named_and_the_run_goes_on_from_there(search):
    class Fragile:
        broken = True

        def on_evaluation(self, trial):
            if self.broken and trial.number == 3:
                raise OSError("no such place")

    whole = search(run="whole")
    with pytest.raises(UserCodeError, match=r"Fragile.on_evaluation\(\) fails: OSError") as error:
        search(callbacks=[Fragile()], run="broken")
    assert "broken" in error.value.hint
    Fragile.broken, heard = False, Listening()
    result = search(callbacks=[Fragile(), heard], run="broken")
    assert [trial.recalled for trial in heard.trials] == [True] * 3 + [False] * 3
    assert (result.plan, tried(result)) == (whole.plan, tried(whole))


def test_a_stopped_search_that_is_killed_later_stops_at_the_same_evaluation(search):
    first = search(callbacks=[Listening(until=6)], evaluations=30, run="stopped")
    (first.run / "result.json").unlink()
    again = search(evaluations=30, run="stopped")
    assert tried(again) == tried(first) and again.plan == first.plan
    assert again.warnings[0] == first.warnings[0] and "enough" in first.warnings[0]


def test_time_that_is_over_ends_the_search(search):
    result = search(timeout=1e-6, evaluations=50)
    assert 1 <= result.evaluations <= 4
    assert "minutes are over" in " ".join(result.warnings)
    assert search(timeout=1000, evaluations=5).evaluations == 5


class Bare:
    """A task of five lines; inputs are a bare tensor."""

    name = "bare"

    def inputs(self, batch):
        return batch[0]

    def loss(self, outputs, batch):
        return cross_entropy(outputs, batch[1])

    def score(self, outputs, batch):
        return (outputs.argmax(1) == batch[1]).float()


class Named(Bare):
    def inputs(self, batch):
        return {"x": batch[0]}


@pytest.mark.parametrize("task", [Bare(), Named()])
def test_a_task_may_return_a_bare_tensor_or_keywords(search, task):
    usual, own = search(finetune_epochs=1), search(task=task, finetune_epochs=1)
    assert tried(own) == tried(usual)
    assert own.pruned.score == usual.pruned.score


class Nothing:
    pass


class Raising:
    def search(self, problem, ledger, seed):
        ledger.evaluate(problem.budget.uniform())
        raise KeyError("gone")


class Greedy:
    def search(self, problem, ledger, seed):
        ledger.evaluate({group.name: group.size for group in problem.structure.groups})


class Idle:
    def search(self, problem, ledger, seed):
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"searcher": Nothing()}, r"lacks search\(\)"),
        ({"searcher": Widest}, r"pass Widest\(\)"),
        ({"searcher": Raising()}, "searcher Raising fails: KeyError"),
        ({"searcher": Greedy()}, "searcher Greedy fails: .*exceeds the budget"),
        ({"searcher": Idle()}, "Idle evaluated no plan"),
        ({"searcher": "bogo"}, "unknown agent 'bogo'"),
        ({"ranking": Nothing()}, "ranking is a Nothing"),
        ({"ranking": lambda model: {}}, "says nothing of group 'conv1'"),
        ({"ranking": lambda model: 3}, "returns int"),
        ({"ranking": lambda model: {"conv1": [1, 2], "conv2": [1]}}, r"12 units, .*shape \[2\]"),
        ({"reward": Nothing()}, "Nothing is not a reward"),
        ({"reward": lambda evaluation: float("inf"), "agent": "ddpg"}, "must be finite, not inf"),
        ({"evaluate": 3}, "evaluate is a int"),
        ({"finetune": "mine"}, "finetune is a str"),
        ({"callbacks": [Nothing()]}, r"lacks on_evaluation\(\) and on_epoch\(\)"),
        ({"callbacks": [Listening]}, r"pass Listening\(\)"),
        ({"callbacks": Listening()}, "not a list"),
        ({"timeout": 0}, "timeout must be above 0 seconds, not 0"),
        ({"timeout": -5}, "above 0"),
        ({"timeout": float("nan")}, "above 0"),
        ({"timeout": "1h"}, "a number of seconds"),
        ({"task": Nothing()}, "lacks name, inputs, loss, score"),
    ],
)
def test_what_cannot_be_used_is_named(search, options, said):
    with pytest.raises(UsageError, match=said):
        search(**options)


def test_the_same_object_continues_its_run_and_another_is_refused(search):
    class Sized(Widest):
        def __init__(self, size):
            self.size = size

    first = search(searcher=Sized(3), run="sized")
    assert search(searcher=Sized(3), run="sized") == first
    with pytest.raises(UsageError, match="agent='Sized@"):
        search(searcher=Sized(4), run="sized")


def test_a_model_and_its_random_states_are_left_alone(search, trained):
    before, state = copy.deepcopy(trained.state_dict()), torch.get_rng_state()
    search(evaluate=lambda model: (float(torch.rand(1)), 0.5))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in trained.state_dict().items():
        assert torch.equal(value, before[name])


def test_stored_runs_name_what_they_were_asked(search):
    result = search(searcher=Widest(), evaluate=lambda model: (1.0, 0.5))
    config = json.loads((result.run / "config.json").read_text())["config"]
    assert config["agent"].startswith("Widest@") and config["evaluate"].startswith("lambda@")
