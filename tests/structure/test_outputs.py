"""Outputs that count: the others may shrink, in evaluation and in training; names are checked."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from autoprune.data.detection import Detection
from autoprune.data.task import read_outputs
from autoprune.errors import UsageError
from autoprune.networks.analysis import analyze_for
from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.outputs import counted, present
from autoprune.structure.plan import Plan


class Pair(NamedTuple):
    hidden: Tensor
    logits: Tensor


class Talker(nn.Module):
    """Gives out hidden states beside its logits, in a form of the user's."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.body, self.middle, self.head = nn.Linear(6, 8), nn.Linear(8, 10), nn.Linear(10, 3)
        self.form = form

    def forward(self, x: Tensor) -> Any:
        first = self.body(x).relu()
        second = self.middle(first).relu()
        logits = self.head(second)
        match self.form:
            case "dict":
                return {"states": [first, second], "logits": logits, "none": None}
            case "tuple":
                return Pair(second, logits)
            case "nested":
                return (first, {"logits": logits, "states": second})
        return logits


X = torch.randn(4, 6)


@pytest.mark.parametrize(
    ("form", "names", "free"),
    [
        ("dict", (), 0),
        ("dict", ("logits",), 18),
        ("dict", ("logits", "states.1"), 8),
        ("dict", ("states",), 3),  # the head, which is not read then
        ("tuple", ("logits",), 18),
        ("tuple", ("1",), 18),
        ("tuple", ("0",), 11),
        ("nested", ("logits",), 18),
        ("nested", ("1.states", "1.logits"), 8),
        ("nested", ("0", "logits"), 10),
    ],
)
def test_what_nobody_reads_may_go(form: str, names: tuple[str, ...], free: int) -> None:
    torch.manual_seed(0)
    model = Talker(form).eval()
    structure = analyze(model, X, outputs=names)
    assert sum(structure.sizes.values()) == free
    assert structure.outputs == names
    assert verify(model, structure, X).ok
    plan = Plan.uniform(structure, 0.5)
    small, zeroed = prune(model, structure, plan)(X), mask(model, structure, plan)(X)
    for one, other in zip(counted(small, names), counted(zeroed, names), strict=True):
        torch.testing.assert_close(one, other)


def test_the_proof_compares_what_counts_and_nothing_else() -> None:
    torch.manual_seed(0)
    model = Talker("dict").eval()
    structure = analyze(model, X, outputs="logits")
    assert verify(model, structure, X).ok
    failed = {failure.name for failure in verify(model, structure, X, outputs=()).failures}
    assert failed == {"body", "middle"}


def test_a_name_that_is_none_is_refused_with_one_that_comes_close() -> None:
    with pytest.raises(UsageError, match="no output 'logit'") as raised:
        analyze(Talker("nested"), X, outputs=["logit"])
    assert raised.value.hint == "did you mean logits or 1.logits?"
    with pytest.raises(UsageError, match="no output '2'") as raised:
        analyze(Talker("tuple"), X, outputs=["2"])
    assert "hidden" in raised.value.hint
    with pytest.raises(UsageError, match="no output 'logits'") as raised:
        analyze(Talker("plain"), X, outputs=["logits"])
    assert "one tensor" in raised.value.hint


class Trainer(Talker):
    """In training a second head reads what nobody reads in evaluation."""

    def __init__(self) -> None:
        super().__init__("dict")
        self.aside = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Any:
        found = super().forward(x)
        return {**found, "aside": self.aside(found["states"][0])} if self.training else found


def test_training_is_cut_along() -> None:
    torch.manual_seed(0)
    model = Trainer()
    structure = analyze(model, X, outputs=["logits"])
    assert structure.sizes["body"] == 8
    small = prune(model, structure, Plan.uniform(structure, 0.5)).train()
    assert small(X)["aside"].shape[0] == 4
    assert small.get_parameter("aside.weight").shape[1] == 4


class Reading:
    """A task as far as an analysis asks."""

    name = "reading"

    def __init__(self, *outputs: Any) -> None:
        self.outputs = outputs


def test_a_task_knows_what_it_reads() -> None:
    task: Any = Reading("logits", "boxes")
    for form, names in (("dict", ("logits",)), ("plain", ())):
        structure = analyze_for(task, Talker(form), X)
        assert structure.outputs == names
        assert set(structure.sizes) == {"body", "middle"}
    assert analyze_for(task, Talker("dict"), X, ("states",)).outputs == ("states",)
    wrong: Any = Reading(1)
    with pytest.raises(UsageError, match="reading"):
        read_outputs(wrong)


def test_features_of_detectors_do_not_count() -> None:
    inside = {"boxes": X, "scores": 2 * X, "feats": [3 * X]}
    names = Detection().outputs
    for outputs, expected in (((4 * X, inside), names), (inside, ("boxes", "scores"))):
        assert present(outputs, names) == expected
        assert not any(leaf is inside["feats"][0] for leaf in counted(outputs, expected))
