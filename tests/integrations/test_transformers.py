"""The callback of the Trainer of transformers."""

import sys
import warnings
from importlib import import_module

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from autoprune.errors import UsageError
from tests.integrations.loops import network, samples
from tests.real.stubs import declare

pytest.importorskip("transformers", reason="no package transformers: make models")
pytest.importorskip("accelerate", reason="no package accelerate: pip install 'autoprune[trainers]'")

declare()  # transformers imports torchvision where it is
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries
    from transformers import Trainer, TrainingArguments

from autoprune.integrations.transformers import PruningCallback  # noqa: E402


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, images, labels=None):
        logits = self.net(images)
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Rows(torch.utils.data.Dataset):
    def __init__(self):
        self.images, self.labels = samples()

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return {"images": self.images[row], "labels": self.labels[row]}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"at": 4}, {"rounds": 2, "every": 3}])
def test_the_trainer_trains_the_smaller_model_on(tmp_path, options):
    model, (images, labels) = Net(), samples()
    example = {"images": images[:2], "labels": labels[:2]}
    callback = PruningCallback("0.5flops", example_inputs=example, **options)
    arguments = TrainingArguments(
        str(tmp_path),
        num_train_epochs=12,
        per_device_train_batch_size=32,
        learning_rate=0.02,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(model, arguments, train_dataset=Rows(), callbacks=[callback])
    trainer.train()
    plan = callback.pruner.plan
    assert model.net[0].out_channels == plan["net.0"] < 8
    held = {id(one) for group in trainer.optimizer.param_groups for one in group["params"]}
    assert held == {id(one) for one in model.parameters()}
    assert float(model.eval()(images, labels)["loss"]) < 0.4


def test_a_library_that_is_not_there_is_named_with_its_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "autoprune.integrations.transformers")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"transformers is not installed.*autoprune\[trainers\]"):
        import_module("autoprune.integrations.transformers")
