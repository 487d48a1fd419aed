"""Latency budgets as ceilings: what is delivered was measured, and holds."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

import autoprune
from autoprune.commands.prune.config import PruneConfig
from autoprune.commands.prune.run import run_prune
from autoprune.cost.latency.model import CALIBRATION
from autoprune.cost.latency.operation import Operation
from autoprune.errors import InfeasibleError, UsageError
from autoprune.foundation import plugins, user_code
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.pipeline.tuning import Tuning
from autoprune.training.config import FitConfig
from tests import owncode

QUICK = Tuning(training=FitConfig(epochs=1, batch_size=64))


class Concave:
    """A device on which time is the root of the size: prediction, by chords, is too low.

    It times itself. What is measured after the tables were made takes ``later`` times as long, but
    for the dense network.
    """

    def __init__(self, later=1.0):
        self.later, self.whole = later, 0

    def __call__(self, model, args, kwargs):
        size = sum(tensor.numel() for tensor in model.state_dict().values())
        seconds = 1e-4 * size**0.5
        if not isinstance(model, Operation):
            self.whole += 1
            dense = all(getattr(m, "out_channels", 40) == 40 for m in model.modules())
            if self.whole > len(CALIBRATION) and not dense:
                seconds *= self.later
        return lambda: model(*args, **kwargs) is None or seconds


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    owncode.write(tmp_path)
    (tmp_path / "large.py").write_text(
        f"{owncode.NETS}\n\ndef net():\n    return Small(width=40)\n"
    )
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net = user_code.load("large.py:net")[0]()
    save_file(net.state_dict(), "large.safetensors")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def config(kind, **options):
    asked = {
        "budget": "0.5latency",
        "model": "large.py:net",
        "weights": "large.safetensors",
        "data": "mydata.py:loaders",
        "backend": "concave",
        "finetune_epochs": 0,
        "align": 1,
        **options,
    }
    return kind(**asked)


def searched(device, **options):
    asked = config(SearchConfig, agent="dp", evaluations=4, workers=1, run="run", **options)
    with plugins.supplied({("backends", "concave"): device}):
        return run_search(asked, Silent(), QUICK)


def test_a_search_steps_back_until_what_is_measured_holds():
    result = searched(Concave(later=1.1))
    predicted, measured = result.latency.fractions
    assert predicted < measured <= 0.5
    assert result.latency.interval[1] <= 0.5
    assert any(
        "was measured" in text and "delivered in its place" in text for text in result.warnings
    )
    recorded = json.loads((result.run / "timings.json").read_text())
    assert len(recorded) > 1
    assert max(one["fraction"]["high"] for one in recorded) > 0.5
    # Narrowed no more than it takes: another step back would waste a tenth of the budget.
    assert measured > 0.42
    assert result.finetuned.latency_ms == result.latency.measured_ms
    kept = {group.name: group.kept for group in result.groups}
    assert autoprune.load(result.run).conv1.out_channels == kept["conv1"]


def test_a_search_that_is_continued_decides_by_the_times_it_has_recorded():
    first = searched(Concave(later=1.1))
    (first.run / "result.json").unlink()
    again = searched(Concave(later=1.7))
    assert again.plan == first.plan
    assert again.latency == first.latency


def test_a_budget_that_no_network_holds_says_by_how_much():
    with pytest.raises(InfeasibleError, match=r"0\.5latency cannot be held: .* % over") as caught:
        searched(Concave(later=99.0))
    assert caught.value.exit_code == 3


def test_a_rule_is_made_narrower_and_a_plan_by_hand_is_refused():
    with plugins.supplied({("backends", "concave"): Concave(later=1.1)}):
        result = run_prune(config(PruneConfig, run="rule"), Silent(), QUICK)
        assert result.latency.interval[1] <= 0.5
        by_hand = json.dumps(dict(result.plan))
    with plugins.supplied({("backends", "concave"): Concave(later=1.3)}):
        with pytest.raises(InfeasibleError, match="cannot be held: the fastest network of 1 "):
            run_prune(config(PruneConfig, run="hand", plan=by_hand), Silent(), QUICK)


def test_every_backend_is_timed_on_one_sample_and_on_a_batch():
    result = searched(Concave(), budget="0.5flops")
    found = {(re.split("[@ ]", one.backend)[0], one.batch) for one in result.speeds}
    assert found >= {
        ("Concave", 1), ("Concave", 54), ("torch", 1), ("torch", 54),
    }  # fmt: skip
    own = [one for one in result.speeds if one.backend.startswith("Concave")]
    assert all(one.low == one.high == pytest.approx(one.fraction) for one in own)
    assert own[0].pruned_ms == pytest.approx(own[0].fraction * own[0].dense_ms)


@pytest.mark.parametrize("device", [lambda model, args, kwargs: 3, 7])
def test_a_backend_that_is_none_is_refused_in_one_line(device):
    with pytest.raises(UsageError, match="backend"):
        searched(device)
