"""Operations of an evaluation and a ranking, counted: slow code shows on a busy machine, too.

If a change of yours raises a count, an evaluation got slower: there are hundreds in a search.
"""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.problem.evaluator import Evaluator, EvaluatorParts
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from tests.timed_net import Mixed

CONVOLUTIONS = 3


class Counting(TorchDispatchMode):
    """Counts the operations that torch carries out, by name."""

    def __init__(self):
        super().__init__()
        self.made = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.made[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    def some(self, *names):
        return sum(count for made, count in self.made.items() if any(n in made for n in names))


def images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, 8, 8, generator=generator)
    return Split((x, torch.randint(0, 5, (count,), generator=generator)))


@pytest.fixture(scope="module")
def ranked():
    torch.manual_seed(0)
    model = Mixed().eval()
    structure = analyze(model, torch.randn(2, 1, 8, 8))
    return (
        model,
        structure,
        rank(model, structure, "regression", task=Classification(), calibration=images(60, 0)),
    )


def counted(ranked, samples, fractions):
    parts = EvaluatorParts(*ranked, Classification(), images(samples, 1), images(50, 2))
    score = Evaluator(parts, precision="float32", batch_size=64)
    found = []
    for fraction in fractions:
        with Counting() as counting:
            score(Plan.uniform(ranked[1], fraction))
        found.append(counting)
    return found


def test_an_evaluation_is_one_pass_over_what_it_sees_and_one_for_statistics(ranked):
    for samples, batches in ((203, 4), (512, 8)):
        (counting,) = counted(ranked, samples, [0.5])
        assert counting.some("conv") == CONVOLUTIONS * (batches + 1)


def test_a_plan_is_solved_for_once_per_repaired_tensor_and_then_known(ranked):
    first, again = counted(ranked, 203, [0.75, 0.75])
    factorizations = ("linalg_cholesky", "_eigh", "_svd", "linalg_qr", "lstsq", "linalg_inv")
    repaired = len(ranked[2].repairs)
    assert first.some(*factorizations) <= repaired
    assert first.some("_solve") <= repaired
    assert again.some("_solve", *factorizations) == 0


def test_transfers_to_the_host_do_not_grow_with_the_batches(ranked):
    few, many = (counted(ranked, samples, [0.5])[0] for samples in (128, 512))
    assert few.some("_local_scalar_dense") == many.some("_local_scalar_dense") <= 2


def test_a_ranking_inverts_once_a_consumer_and_passes_once_over_its_images(ranked):
    model, structure, _ = ranked
    found = []
    for samples in (129, 229):  # more than sensitivities take
        with Counting() as counting:
            rank(
                model,
                structure,
                "regression",
                task=Classification(),
                calibration=images(samples, 0),
            )
        found.append(counting)
    assert {one.some("cholesky_inverse") for one in found} == {
        len(find_consumers(model, structure))
    }
    few, more = (one.made["convolution"] for one in found)
    assert more - few == CONVOLUTIONS
    assert found[0].made["convolution_backward"] == found[1].made["convolution_backward"]
