"""Analysis and slicing of a ResNet-56, beside deep copy + torch-pruning, in one run.

A searcher needs a network until the next plan: a shell that is sliced anew. Whoever wants to keep
one builds a network of its own, which takes longer; both stand here, the second with what analysis
costs, spread over 100 candidates. Times are of the processor.

python benchmarks/structure.py [--write]
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable
from statistics import median

import torch
from support.reporting import parser, report
from torch import nn

from autoprune.networks import zoo
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what numpy and torch have deprecated
    import torch_pruning

ROUNDS, CANDIDATES = 30, 100


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    # Option B: torch-pruning cannot prune option A, so both get the network that both can do.
    model, inputs = zoo.build("resnet56", shortcut="B").eval(), torch.randn(2, 3, 32, 32)
    analyze(zoo.build("resnet20"), inputs)  # the first export pays for imports
    analysis = min(timed(lambda: analyze(model, inputs)) for _ in range(5))
    structure = analyze(model, inputs)
    ranking = rank(model, structure, "l1")
    plan = Plan.uniform(structure, 0.5)
    slicer = Slicer(model, structure)
    kept = ranking.kept(plan)
    theirs, own, cold, *warm = interleaved(
        lambda: torch_pruning_half(model, inputs),
        lambda: slicer.build(kept),
        *[lambda: slicer(kept)] * 6,
    )
    ours = [time for column in warm for time in column]
    same = sum(p.numel() for p in slicer.build(kept).parameters())
    other = sum(p.numel() for p in torch_pruning_half(model, inputs).parameters())
    rows = [
        row("analysis, first to last operator and proof", f"{analysis:.2f} s", "<= 1.5 s"),
        row("slicing by table", milliseconds(ours), "<= 1.5 ms"),
        row("the same, first after other work", milliseconds(cold), ""),
        row("deep copy + torch-pruning", milliseconds(theirs), ""),
        row("ratio of the medians", f"{median(theirs) / median(ours):.0f}x", ">= 20x"),
        row("a network of its own", milliseconds(own), ""),
        row("ratio of the medians", f"{median(theirs) / median(own):.1f}x", ""),
        row(f"{CANDIDATES} of its own, with analysis", ratio(own, analysis, theirs), ">= 10x"),
        row(f"{CANDIDATES} by table, with analysis", ratio(ours, analysis, theirs), ">= 10x"),
    ]
    notes = [
        "ResNet-56 (CIFAR, option B), every group cut to one half; analysis is the minimum of 5,",
        f"slicing the median of {ROUNDS} interleaved rounds. Parameters left: {same:,} by table,",
        f"{other:,} by torch-pruning.",
    ]
    report("structure", "Analysis and slicing", rows, notes, options.write, "float32")


def row(what: str, measured: str, aim: str) -> dict[str, str]:
    """Make a row of the table."""
    return {"what": what, "measured": measured, "aim": aim}


def milliseconds(times: list[float]) -> str:
    """Show the median and the minimum."""
    return f"{1000 * median(times):.2f} ms (fastest {1000 * min(times):.2f})"


def ratio(ours: list[float], analysis: float, theirs: list[float]) -> str:
    """Show how many times as fast candidates are made, one analysis counted."""
    spent = analysis + CANDIDATES * median(ours)
    return f"{CANDIDATES * median(theirs) / spent:.1f}x"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def interleaved(*works: Callable[[], object]) -> list[list[float]]:
    """Time calls in turn, so that a machine that slows down slows all of them."""
    for work in works:
        work()
    rounds = [[timed(work) for work in works] for _ in range(ROUNDS)]
    return [list(column) for column in zip(*rounds, strict=True)]


def torch_pruning_half(model: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """Cut every group to one half as torch-pruning's documentation does."""
    twin = copy.deepcopy(model)
    graph = torch_pruning.DependencyGraph().build_dependency(twin, inputs)
    groups = graph.get_all_groups(
        ignored_layers=[twin.linear], root_module_types=[nn.Conv2d, nn.Linear]
    )
    for group in groups:
        group.prune(list(range(len(group[0][1]) // 2)))
    return twin


if __name__ == "__main__":
    main()
