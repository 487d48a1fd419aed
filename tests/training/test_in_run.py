"""Training inside a run."""

import torch
from torch import nn

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.runs.run import Run
from autoprune.training.config import FitConfig
from autoprune.training.in_run import done, fit_in
from autoprune.training.pace import PaceConfig, paced


class Notes(Silent):
    """Keeps the steps that are reported, and what is said."""

    def __init__(self):
        self.steps, self.facts, self.said = [], [], []

    def advance(self, steps=1, **facts):
        self.steps.append(steps)
        self.facts.append(facts)

    def note(self, text):
        self.said.append(text)


def trained(run, notes):
    torch.manual_seed(0)
    net = nn.Linear(4, 3)
    data = Split((torch.randn(30, 4), torch.randint(0, 3, (30,))))
    fit_in(run, notes, "train", net, data, Classification(), FitConfig(epochs=2, batch_size=10))
    return net


def test_every_step_is_reported_once_whatever_the_pace(tmp_path):
    for pace in (PaceConfig(report_every=0.0), PaceConfig(report_every=60.0)):
        notes = Notes()
        with (
            paced(pace),
            Run(tmp_path / str(pace.report_every), SearchConfig(budget="0.5flops")) as run,
        ):
            trained(run, notes)
        assert sum(notes.steps) == 6 and notes.facts[-1]["epoch"] == 2
    assert len(notes.steps) <= 2


def test_a_finished_run_is_done_and_loses_its_checkpoints(tmp_path):
    config, notes = SearchConfig(budget="0.5flops"), Notes()
    with Run(tmp_path / "run", config) as run:
        assert not done(run, notes)
        trained(run, notes)
        assert list(run.path.glob("*.checkpoint.safetensors"))
        run.publish_json("result.json", {})
        assert done(run, notes)
        assert not list(run.path.glob("*.checkpoint.safetensors"))
    assert "is finished" in notes.said[-1]
    (tmp_path / "run" / "result.json").write_text("?")
    with Run(tmp_path / "run", config) as run:
        assert not done(run, notes)
    assert notes.said[-1] == "recreating missing or damaged files: result.json"
