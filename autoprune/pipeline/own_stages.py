"""Stages that a function of the caller's carries out: scoring plans and fine-tuning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from autoprune.agents.base import isolated
from autoprune.data import Loader, Samples
from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.networks.execution import mode
from autoprune.pipeline.own import Evaluate, Finetune
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.granularity.masking import Masks
from autoprune.structure.finite import first_nonfinite
from autoprune.structure.plan import Plan


class OwnScorer:
    """Scorer of plans by a function of the caller's, one after another, in this process.

    ``build`` makes the network of a plan. Random states are those of ``seed`` in every call, so
    that a continued search repeats.
    """

    def __init__(self, build: Callable[[Plan], nn.Module], evaluate: Evaluate, seed: int) -> None:
        self._build, self._evaluate, self._seed = build, evaluate, seed

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Yield the evaluation of each plan; see :class:`autoprune.problem.scorer.Scorer`."""
        return map(self._score, plans)

    def _score(self, plan: Plan) -> Evaluation:
        return evaluated(self._build(plan), self._evaluate, self._seed)


def evaluated(network: nn.Module, evaluate: Evaluate, seed: int) -> Evaluation:
    """Score a network by a function of the caller's.

    Raises UserCodeError for what it raises, UsageError for anything but (loss, score).
    """
    with mode(network, train=False), isolated(seed), blamed("evaluate() fails"):
        found = evaluate(network)
    try:
        loss, score = (float(value) for value in found)
    except (TypeError, ValueError):
        raise UsageError(
            f"evaluate() returns {str(found)!r:.60}, not a loss and a score",
            "return two numbers: loss, lower is better, and score, higher is better",
        ) from None
    return Evaluation(score, loss).finite()


def finetuned_by(
    finetune: Finetune,
    pruned: nn.Module,
    train: Samples,
    validation: Samples,
    seed: int,
    masks: Masks | None,
) -> nn.Module:
    """Return what the caller's function makes of a copy of a pruned network.

    Weights that ``masks`` removed are zero again. Raises UserCodeError for what it raises,
    UsageError for a result that is no network of the same shapes, or not finite.
    """
    with isolated(seed), blamed("finetune() fails"):
        found = finetune(copy.deepcopy(pruned), Loader(train, seed=seed), Loader(validation))
    if not isinstance(found, nn.Module):
        raise UsageError(
            f"finetune() returns {type(found).__name__}, not a network", "return the model"
        )
    shapes = [
        {name: tuple(value.shape) for name, value in network.state_dict().items()}
        for network in (pruned, found)
    ]
    if shapes[0] != shapes[1]:
        changed = [name for name, shape in shapes[0].items() if shapes[1].get(name) != shape]
        raise UsageError(
            f"finetune() returns another network: {min(changed or shapes[1].keys())!r} differs",
            "train the model that it gets, and return it",
        )
    name = first_nonfinite(found)
    if name is not None:
        raise UsageError(f"after finetune() {name} is NaN or infinite", "lower its learning rate")
    with torch.no_grad():
        for name, kept in (masks or {}).items():
            found.get_parameter(name).mul_(kept)
    for module, before in zip(found.modules(), pruned.modules(), strict=True):
        module.training = before.training
    return found
