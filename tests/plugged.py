"""Packages with plug-ins: modules, and the entry points that name what is in them."""

from pathlib import Path


def install(place: Path, package: str, code: str, **groups: dict[str, str]) -> None:
    """Write a module and its distribution; ``groups``: kind -> {name: attribute of the module}."""
    module = package.replace("-", "_")
    (place / f"{module}.py").write_text(code)
    info = place / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = []
    for kind, entries in groups.items():
        lines.append(f"[autoprune.{kind}]")
        lines += [f"{name} = {module}:{attribute}" for name, attribute in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


GOOD = '''
import torch
from torch.nn.functional import cross_entropy


class Smallest:
    """Evaluates the smallest plan there is."""

    def search(self, problem, ledger, seed):
        ledger.evaluate(problem.cost.plan(problem.budget.smallest))


class Rewarded:
    """Takes what learning agents get."""

    def __init__(self, reward, on_step=None):
        self.reward = reward

    def search(self, problem, ledger, seed):
        ledger.evaluate(problem.budget.uniform())
        assert self.reward(ledger.history[0].evaluation) <= 0


def last_first(model, structure):
    return {group.name: torch.arange(group.size) for group in structure.groups}


def frugal(evaluation):
    return -evaluation.loss


class Top:
    name = "top"

    def inputs(self, batch):
        return batch[0]

    def loss(self, outputs, batch):
        return cross_entropy(outputs, batch[1])

    def score(self, outputs, batch):
        return (outputs.argmax(1) == batch[1]).float()


number = 3
'''

BROKEN = "import a_package_that_nobody_has\n\n\nclass Never:\n    pass\n"
