"""A small language model, pruned: perplexity as delivered, without any fine-tuning.

python benchmarks/language.py --work DIR [--steps 1800] [--seeds 3] [--write]

The text is the source of Python's standard library (6 MB), read byte by byte. The model is trained
first, and kept in the directory. Every ranking carries out the same two plans: the uniform one, and
that of a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from support.reporting import parser, report
from support.small_language import LENGTH, corpus, train
from torch import Tensor, nn
from transformers import LlamaForCausalLM

import autoprune
from autoprune.data import Data, Samples, load_data
from autoprune.data.causal_lm import CausalLanguageModeling
from autoprune.foundation.statistics import estimate
from autoprune.networks.score import measure
from autoprune.pipeline.posing import Problem
from autoprune.pipeline.tuning import SampleConfig
from autoprune.ranking.own import own_ranking
from autoprune.structure.plan import Plan
from autoprune.structure.table import Structure

TASK = CausalLanguageModeling()
BUDGETS = ("0.7macs", "0.5macs")
SEARCH, VALIDATION, TEST = 128, 128, 400
"""Blocks of the splits that are read."""

Found = dict[tuple[str, str, str], list[float]]
"""(budget, plan, ranking) -> perplexities, one for each seed."""


def main() -> None:
    """Train where there is no model yet, prune by every method, and report."""
    options = parser(__doc__ or "")
    options.add_argument("--work", required=True)
    options.add_argument("--steps", type=int, default=1800)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--agent", default="dp")
    options.add_argument("--evaluations", type=int, default=20)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    work = Path(chosen.work)
    work.mkdir(parents=True, exist_ok=True)
    spec = f"text:{corpus(work / 'text.txt')},length={LENGTH}"
    model = trained(work / "model", load_data(spec), chosen.steps)
    dense = perplexity(model, small(load_data(spec)).test)
    found: Found = {}
    for seed in range(chosen.seeds):
        data = small(load_data(spec, seed))
        for budget in BUDGETS:
            problem = autoprune.pose(
                model, data, budget, task="causal-lm", seed=seed, progress=False
            )
            for plan, ranking, value in compared(problem, data, seed, chosen):
                found.setdefault((budget, plan, ranking), []).append(value)
                print(f"seed {seed}, {budget}, {plan}, {ranking}: {value:.3f}", flush=True)
    report(
        "language",
        "A small language model of bytes: perplexity as delivered, without fine-tuning",
        rows(found, dense),
        notes(model, chosen),
        chosen.write,
    )


def trained(place: Path, data: Data, steps: int) -> LlamaForCausalLM:
    """Return the trained model."""
    if not place.is_dir():
        train(data, steps).save_pretrained(place)
    model = LlamaForCausalLM.from_pretrained(place).eval()
    model.config.use_cache = False
    return model


def small(data: Data) -> Data:
    """Return data whose splits for scores are read in a minute."""
    return replace(
        data,
        search=data.search.take(SEARCH),
        validation=data.validation.take(VALIDATION),
        test=data.test.take(TEST, 0),
    )


def compared(
    problem: Problem, data: Data, seed: int, chosen: Any
) -> Iterator[tuple[str, str, float]]:
    """Yield plan, ranking and perplexity of every network at one budget."""
    searched = problem.search(chosen.agent, chosen.evaluations, progress=False).best
    uniform = problem.search("uniform", 1, progress=False).best
    assert searched is not None and uniform is not None
    samples = data.calibration(SampleConfig().ranking, seed)
    activations = own_ranking(
        "magnitude x activation", by_activations, problem.model, problem.structure, TASK, samples, 0
    )
    for name, plan in (("uniform", uniform.plan), (chosen.agent, searched.plan)):
        made = {
            "l1": autoprune.prune(problem.model, problem.structure, plan, "l1"),
            "magnitude x activation": cut(problem, plan, activations),
            "regression (ours)": problem.network(plan),
        }
        for ranking, network in made.items():
            yield name, ranking, perplexity(network, data.test)


def cut(problem: Problem, plan: Plan, ranking: Any) -> nn.Module:
    """Return the compact network of a plan by a ranking that repairs nothing."""
    return autoprune.prune(problem.model, problem.structure, plan, ranking)


def perplexity(model: nn.Module, split: Samples) -> float:
    """Return the perplexity of a byte over a split."""
    return measure(model, split, TASK).other["perplexity"]


@torch.no_grad()
def by_activations(
    model: nn.Module, structure: Structure, calibration: Samples
) -> dict[str, Tensor]:
    """Score a unit by what reads it: sum of |weight| times the norm of its activation.

    That is the score of Wanda (Sun et al. 2024, arXiv:2306.11695, equation 1), summed over the
    weights of a unit; nothing is repaired, as there.
    """
    squares: dict[str, Tensor] = {}

    def listen(path: str) -> Any:
        def add(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            total = args[0].flatten(0, -2).double().square().sum(0)
            squares[path] = squares.get(path, torch.zeros_like(total)) + total

        return add

    with ExitStack() as stack:
        for path, module in model.named_modules():
            if isinstance(module, nn.Linear):
                stack.callback(module.register_forward_pre_hook(listen(path)).remove)
        for batch in calibration.batches(32):
            model(**batch)
    scores = {
        group.name: torch.zeros(group.size, dtype=torch.float64) for group in structure.groups
    }
    for name, slices in structure.slices.items():
        for piece in slices:
            path = piece.tensor.removesuffix(".weight")
            if piece.dim == 1 and path in squares:
                weight = model.get_submodule(path).weight
                columns = weight.abs().double().sum(0) * squares[path].sqrt()
                scores[name] += columns[piece.index].sum(1)
    return {name: score.float() for name, score in scores.items()}


def rows(found: Found, dense: float) -> list[dict[str, Any]]:
    """Show means and 95 % intervals over seeds; l1 has no seed."""
    table = [{"MACs": "1", "plan": "dense", "ranking": "", "perplexity of a byte": f"{dense:.3f}"}]
    for (budget, plan, ranking), values in found.items():
        many = estimate(values)
        table.append(
            {
                "MACs": budget.removesuffix("macs"),
                "plan": plan,
                "ranking": ranking,
                "perplexity of a byte": f"{many.mean:.3f} +- {many.margin:.3f}",
            }
        )
    return table


def notes(model: nn.Module, chosen: Any) -> list[str]:
    """Say what was measured."""
    size = sum(parameter.numel() for parameter in model.parameters())
    return [
        f"Llama-like model, grouped queries, {size / 1e6:.2f} M parameters, {chosen.steps} steps"
        f" of 16 x {LENGTH} bytes of the source of Python's standard library: trained for minutes,"
        " not to its best. The budget counts all MACs, embeddings have none; residual width, heads"
        " and hidden units are pruned. Nothing is fine-tuned.",
        f"{chosen.seeds} seeds: calibration samples and search split; mean +- 95 % interval (t)."
        f" {chosen.agent}: {chosen.evaluations} evaluations on {SEARCH} blocks. Perplexity on"
        f" {TEST} blocks of the test split.",
        "l1 and magnitude x activation repair nothing, ours refits the weights that stay: the rows"
        " differ in both. The searched plan was found with ours, so it need not be the best one for"
        " the other two. No pruner that repairs was compared.",
    ]


if __name__ == "__main__":
    main()
