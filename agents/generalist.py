"""One policy for many networks and budgets, with few evaluations on each.

Evaluations on all networks in turn teach how much a group's error matters, by what the group is
like (``shared_belief``): of the error curves' own plan, the uniform one, and plans that would be
best if errors mattered in ways drawn by chance. They depend on nothing that was learned, so that
what is known of a network serves whatever other networks a policy is trained on. Then the policy
imitates the guide of the world that the evaluations speak for: improving by a planner and imitating
it is expert iteration (Anthony, Tian and Barber 2017); the planner is ``envs.guide``. From there
DDPG or PPO go on, by walks whose damage is foretold (``practice``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import nn

from autoprune.agents.base import isolated, propose
from autoprune.agents.imitation import JITTER, apprentice, imitate, lessons
from autoprune.agents.initial_plans import cheap_plans
from autoprune.agents.policy import Policy
from autoprune.agents.practice import OnRound, PracticeConfig, Syllabus, practice
from autoprune.agents.rollouts import retrace
from autoprune.agents.shared_reward_model import Evidence, SharedBelief, features, imagine
from autoprune.agents.surrogate import WORST, Exercise, planned
from autoprune.envs.lagrangian import Guide
from autoprune.envs.rewards import LOSS
from autoprune.envs.walk import WalkContext
from autoprune.networks.execution import one_thread
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger, Record
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

OnStep = Callable[[int, float], None]
OnTrial = Callable[["Case", "Trial"], None]


@dataclass(frozen=True)
class GeneralistConfig:
    """Hyper-parameters."""

    width: int = 64
    walks: int = 6
    """Per network, budget and variant of the network."""
    variants: int = 2
    """Made-up networks per network and budget, whose errors differ: what may come is varied."""
    steps: int = 3000
    """Gradient steps of imitation."""
    practice: PracticeConfig = field(default_factory=PracticeConfig)


@dataclass(frozen=True, eq=False)
class Case:
    """A network to train on: its problem at every budget, and what was evaluated before.

    ``exams``: its problem at budgets between those, which judge a policy and never teach it.
    """

    name: str
    problems: Sequence[PruningProblem]
    known: Sequence[Mapping[Plan, Evaluation]] = field(default=())
    exams: Sequence[PruningProblem] = field(default=())

    @cached_property
    def contexts(self) -> list[WalkContext]:
        """The context of every problem."""
        return [WalkContext.of(problem) for problem in self.problems]

    def budget(self, trial: Trial) -> str:
        """Return the budget of one of its trials."""
        return str(self.problems[trial.budget].budget.budget)


@dataclass(frozen=True)
class Trial:
    """The ``number``-th evaluation of all: at which budget of its case, and what came of it."""

    number: int
    budget: int
    record: Record


@dataclass(frozen=True)
class Trained:
    """What training comes to; ``belief`` is what the evaluations say of ``FEATURES``.

    ``imitation`` is the policy before practice. ``exam``: the mean reward (``exercises``) in the
    exam of the ``planner``, of its ``imitation`` and of the agent that went on from there; empty if
    none did.
    """

    policy: Policy
    belief: SharedBelief
    imitation: Policy
    exam: Mapping[str, float] = field(default_factory=dict)


class Generalist:
    """Explores several cases by evaluations, then trains one policy on what they say.

    ``agent``: ``ddpg`` or ``ppo``, or None to stop at imitation. The same cases, seed and
    evaluations give the same policy; ``trials`` are those of each case.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        seed: int,
        config: GeneralistConfig | None = None,
        agent: str | None = None,
    ) -> None:
        self.cases, self.seed, self.agent = cases, seed, agent
        self.config = config or GeneralistConfig()
        self.trials: list[list[Trial]] = [[] for _ in cases]

    def explore(self, evaluations: int, on_trial: OnTrial) -> None:
        """Spend evaluations on all networks in turn, on their least, middle and most budget."""
        rngs = [np.random.default_rng(self.seed) for _ in self.cases]
        ledgers = [self._ledgers(case, evaluations) for case in self.cases]
        for number in range(evaluations):
            turn, index = divmod(number, len(self.cases))
            case = self.cases[index]
            budgets = sorted({0, len(case.problems) // 2, len(case.problems) - 1})
            budget = budgets[turn % len(budgets)]
            ledger = ledgers[index][budget]
            plan = draw(case, budget, ledger, rngs[index])
            if plan is None:
                continue
            ledger.evaluate(plan)
            trial = Trial(number + 1, budget, ledger.history[-1])
            self.trials[index].append(trial)
            on_trial(case, trial)

    def train(self, on_step: OnStep, on_round: OnRound = lambda number, reward: None) -> Trained:
        """Imitate the guide of the world that the evaluations speak for, then practice in it.

        ``on_step`` is called with the gradient steps done and the loss, a hundred times in all.
        """
        belief, config = self.belief(), self.config
        with isolated(self.seed) as rng, one_thread():
            actor: nn.Module = apprentice(config.width)
            contexts = [self._courses(case, case.problems, rng) for case in self.cases]
            taught = [
                lessons(each, belief.damage(each), rng, config.walks)
                for found in contexts
                for each in found
            ]
            imitate(actor, taught, config.steps, self.seed, on_step)
            imitation = Policy.of(actor, "relu", "tanh", {})
            if self.agent is None:
                return Trained(imitation, belief, imitation)
            syllabus = self._syllabus(belief, contexts, rng)
            found = practice(self.agent, actor, syllabus, config.practice, self.seed, on_round)
        exam = {
            "planner": planned(syllabus.exam),
            "imitation": found.before,
            self.agent: found.after,
        }
        return Trained(Policy.of(found.actor, "relu", "tanh", {}), belief, imitation, exam)

    def _ledgers(self, case: Case, evaluations: int) -> list[Ledger]:
        known = case.known or [{} for _ in case.problems]
        return [
            Ledger(problem, evaluations, known=found)
            for problem, found in zip(case.problems, known, strict=True)
        ]

    def belief(self) -> SharedBelief:
        """Fit what all evaluations so far say."""
        pairs = zip(self.cases, self.trials, strict=True)
        return SharedBelief.of([_evidence(case, trials) for case, trials in pairs if trials])

    def _courses(
        self, case: Case, problems: Sequence[PruningProblem], rng: np.random.Generator
    ) -> list[WalkContext]:
        """Return a case's context for each problem, and of networks like it whose errors differ."""
        found = []
        for problem in problems:
            context = WalkContext.of(problem)
            jitter = np.exp(rng.normal(0, JITTER, (self.config.variants, context.length)))
            found.append(context)
            for factors in jitter:
                errors = [f * e for f, e in zip(factors, context.errors, strict=True)]
                found.append(WalkContext.of(problem, errors))
        return found

    def _syllabus(
        self,
        belief: SharedBelief,
        contexts: Sequence[list[WalkContext]],
        rng: np.random.Generator,
    ) -> Syllabus:
        """Set exercises, the exam, and what evaluated walks really earned."""
        exercises = [
            [Exercise.of(each, belief.damage(each)) for each in found] for found in contexts
        ]
        held = [each for case in self.cases for each in self._courses(case, case.exams, rng)]
        exam = [Exercise.of(each, belief.damage(each)) for each in held]
        scales = iter(belief.scales)
        walks, earned = [], []
        for trials, mine in zip(self.trials, exercises, strict=True):
            scale = next(scales) if trials else {}
            own = mine[:: 1 + self.config.variants]  # one per budget, as it is
            for trial, reward in zip(trials, _relative(trials), strict=True):
                exercise = own[trial.budget]
                walks.append(retrace(exercise.context, trial.record.plan))
                earned.append(max(reward / scale[trial.budget] / exercise.unit, WORST))
        flat = [exercise for mine in exercises for exercise in mine]
        return Syllabus(flat, exam or flat, walks, np.array(earned))


def _relative(trials: Sequence[Trial]) -> list[float]:
    """Return the reward of every trial over that of the error curves' plan at its budget."""
    first: dict[int, float] = {}
    found = []
    for trial in trials:
        reward = LOSS(trial.record.evaluation)
        found.append(reward - first.setdefault(trial.budget, reward))
    return found


def draw(case: Case, budget: int, ledger: Ledger, rng: np.random.Generator) -> Plan | None:
    """Return the error curves' own plan, then the uniform one, then plans of drawn worlds.

    None if draws only repeat what was evaluated.
    """
    problem, context = case.problems[budget], case.contexts[budget]
    first = [plan for plan in cheap_plans(problem)[1::-1] if plan not in ledger]
    if first:
        return first[0]

    def best() -> Plan:
        counts = Guide.of(problem.budget, imagine(context, rng)).counts
        return problem.budget.top_up(problem.cost.plan(counts))

    return next(iter(propose(ledger, best, 1)), None)


def _evidence(case: Case, trials: Sequence[Trial]) -> Evidence:
    counts = [tuple(trial.record.plan.values()) for trial in trials]
    curves = case.contexts[0].errors
    return Evidence(
        features(case.contexts[0]),
        np.array([[e[k] for e, k in zip(curves, row, strict=True)] for row in counts]),
        np.array([LOSS(trial.record.evaluation) for trial in trials]),
        np.array([trial.budget for trial in trials]),
    )
