"""Problems posed from Python: the same as in a search, searched, walked through, built."""

import copy

import gymnasium
import pytest
import torch
from torch import nn

import autoprune
from autoprune.envs.rewards import LOSS
from autoprune.errors import UsageError, UserCodeError
from autoprune.problem.ledger import OutOfEvaluations
from autoprune.runs.journal import read_journal
from tests.owncode import DATA, NETS


@pytest.fixture(scope="module")
def code():
    nets, data = {}, {}
    exec(NETS, nets)
    exec(DATA, data)
    torch.manual_seed(0)
    return nets["wide"](), data["loaders"]()


@pytest.fixture(scope="module")
def problem(code):
    return autoprune.pose(*code, "0.5flops", progress=False)


def walk(env, action):
    env.reset()
    done = False
    while not done:
        _, reward, done, _, info = env.step([action])
    return reward, info


def test_a_posed_problem_is_that_of_a_search(problem, code, tmp_path):
    result = autoprune.search(
        *code, "0.5flops", agent="ddpg", evaluations=9, finetune_epochs=0, run=tmp_path / "run"
    )
    ledger = problem.search("ddpg", 9, progress=False)
    tried = [(dict(one.plan), one.evaluation.score, one.evaluation.loss) for one in ledger.history]
    records = read_journal(result.run / "evaluations.jsonl")
    assert tried == [(record["plan"], record["score"], record["loss"]) for record in records]
    delivered, built = result.model.state_dict(), problem.network(result.plan).state_dict()
    assert delivered.keys() == built.keys()
    assert all(torch.equal(value, built[name]) for name, value in delivered.items())


def test_nothing_is_written_and_the_model_is_left_alone(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = code[0]
    before = copy.deepcopy(model.state_dict())
    posed = autoprune.pose(*code, "0.5params", ranking="l1", progress=False)
    posed.search("random", 3, progress=False)
    assert list(tmp_path.iterdir()) == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_evaluation_in_the_environment_is_that_of_the_problem(problem):
    reward, info = walk(problem.env(), 0.0)
    assert problem.budget.met(info["plan"])
    found = problem.evaluate(info["plan"])
    assert reward == LOSS(found) and info["evaluation"].score == found.score
    doubled, _ = walk(problem.env(lambda found: 2 * found.score), 0.0)
    assert doubled == 2 * found.score


def test_a_ledger_in_the_environment_counts(problem):
    ledger = autoprune.Ledger(problem, 2)
    env = problem.env(ledger=ledger)
    walk(env, -1.0), walk(env, -1.0), walk(env, 1.0)
    assert ledger.count == 2
    with pytest.raises(OutOfEvaluations):
        walk(env, 0.0)


def test_a_stopped_search_goes_on_from_its_ledger(problem):
    class Early(autoprune.Callback):
        def on_evaluation(self, trial):
            trial.stop()

    whole = problem.search("random", 12, progress=False)
    half = problem.search("random", 12, callbacks=[Early()], progress=False)
    assert 0 < half.count < whole.count
    again = problem.search("random", 12, known=half, progress=False)
    plans = [one.plan for one in whole.history]
    assert [one.plan for one in again.history] == plans
    assert [one.recalled for one in again.history] == [i < half.count for i in range(len(plans))]


def test_a_function_scores_the_networks_of_plans(code):
    def evaluate(model):
        assert isinstance(model, nn.Module)
        return sum(value.numel() for value in model.parameters()), 0.5

    posed = autoprune.pose(*code, "0.5flops", evaluate=evaluate, progress=False)
    plan = posed.budget.uniform()
    assert posed.evaluate(plan).loss == sum(v.numel() for v in posed.network(plan).parameters())
    best = posed.search("random", 10, progress=False).best
    assert best.evaluation.loss == posed.cost.parameters(best.plan)


def test_what_cannot_be_used_is_named(problem):
    class Broken(autoprune.Callback):
        def on_evaluation(self, trial):
            raise LookupError("lost")

    for call, kind, said in (
        (lambda: problem.search("bogo"), UsageError, "unknown agent"),
        (lambda: problem.search(object()), UsageError, "lacks search"),
        (lambda: problem.search("dp", 0), UsageError, "at least 1 evaluation"),
        (lambda: problem.search("dp", timeout=0), UsageError, "above 0"),
        (lambda: problem.search("dp", 3, callbacks=[Broken()]), UserCodeError, "Broken.on_eval"),
        (lambda: problem.env("profit"), UsageError, "unknown reward"),
        (lambda: problem.env(3), UsageError, "not a reward"),
        (lambda: problem.network({"conv1": 3}), UsageError, "conv2"),
    ):
        with pytest.raises(kind, match=said):
            call()


def test_a_problem_is_short_to_read(problem):
    assert repr(problem) == "Problem(2 groups, budget 0.5flops)"


def test_gymnasium_makes_the_environment_of_a_problem(problem):
    name = "autoprune.envs:autoprune/LayerPruning-v0"
    env = gymnasium.make(name, problem=problem, reward="score")
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    envs = gymnasium.make_vec(name, num_envs=2, vectorization_mode="sync", problem=problem)
    assert envs.reset(seed=0)[0].shape == (2, *observation.shape)
    envs.close()
