"""The callback of the Trainer of Lightning."""

import logging
import sys
from importlib import import_module

import pytest
import torch
from torch.nn.functional import cross_entropy

from autoprune.errors import UsageError
from tests.integrations.loops import network, samples
from tests.real.stubs import declare

declare()  # torchmetrics imports torchvision where it is

lightning = pytest.importorskip(
    "pytorch_lightning", reason="no package pytorch-lightning: pip install 'autoprune[trainers]'"
)

from autoprune.integrations.lightning import PruningCallback  # noqa: E402


class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, index):
        return cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 0.02)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"at": 4}, {"rounds": 2, "every": 3, "network": "net"}])
def test_the_trainer_trains_the_smaller_network_on(tmp_path, options):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    module, (images, labels) = Net(), samples()
    callback = PruningCallback("0.5flops", example_inputs=images[:2], **options)
    trainer = lightning.Trainer(
        max_epochs=12,
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    data = torch.utils.data.TensorDataset(images, labels)
    trainer.fit(module, torch.utils.data.DataLoader(data, 32, shuffle=True))
    name = "0" if "network" in options else "net.0"
    assert module.net[0].out_channels == callback.pruner.plan[name] < 8
    (optimizer,) = trainer.optimizers
    held = {id(one) for group in optimizer.param_groups for one in group["params"]}
    assert held == {id(one) for one in module.parameters()}
    assert float(cross_entropy(module.eval()(images), labels)) < 0.4


def test_a_library_that_is_not_there_is_named_with_its_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "autoprune.integrations.lightning")
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    with pytest.raises(
        UsageError, match=r"pytorch_lightning is not installed.*autoprune\[trainers\]"
    ):
        import_module("autoprune.integrations.lightning")
