"""A user's own files: networks, data and tasks, good and bad, written where a test asks."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from autoprune.foundation import user_code as factories

NETS = '''
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, classes=3, channels=1, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def features(self, x):
        return self.conv2(self.bn1(self.conv1(x)).relu()).relu().mean((2, 3))

    def forward(self, x):
        return self.head(self.features(x))


def build():
    return Small()


def wide():
    return Small(width=12)


def two():
    return Small(classes=2)


def flat():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


class Branching(Small):
    def forward(self, x):
        if x.sum() > 0:  # the line that cannot be exported
            x = x + 1
        return super().forward(x)


def branching():
    return Branching()


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.head = nn.Linear(512, 3)

    def forward(self, x):
        return self.head(self.conv(x).reshape(-1, 512))


def fixed():
    return Fixed()


class Choosy(Small):
    """Works with 8 and 4 units, and not with some number in between."""

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.refuse(x) if x.shape[1] in (5, 6) else x
        return self.head(self.conv2(x).relu().mean((2, 3)))


class Nan(Choosy):
    def refuse(self, x):
        return x * float("nan")


class Raising(Choosy):
    def refuse(self, x):
        raise ValueError("an even number of twos, please")


def sometimes_nan():
    return Nan()


def sometimes_raises():
    return Raising()


class Painter(nn.Module):
    """One number per pixel, from keyword inputs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, picture, gain):
        return {"paint": self.last(self.first(picture * gain.view(-1, 1, 1, 1)).relu())}


def painter():
    return Painter()


def chatty():
    print("building a network")
    return Small()


def raises():
    raise RuntimeError("boom\\nand more")


def number():
    return 3


def demanding(depth, width):
    return Small()
'''

DATA = """
import torch


def make(count=60, channels=1, size=8, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    images = torch.randn(count, channels, size, size, generator=generator)
    images[torch.arange(count), :, labels] += 2
    return images, labels


def loaders():
    return make(), make(20, seed=1)


def paintings():
    def part(count, seed):
        images, _ = make(count, seed=seed)
        mask = (images > 1).float()
        return {"picture": images, "gain": torch.ones(count), "mask": mask}

    return {"train": part(80, 0), "test": part(20, 1)}


def both(**options):
    return make(**options), make(20, seed=1, **options)


def empty():
    return make(0), make(20)


def scarce():
    return make(1)


def uneven():
    images, labels = make()
    return (images[:-1], labels), make(20)


def colored():
    return both(channels=3)


def large():
    return both(size=28)


def five():
    return both(classes=5)


def negative():
    return tuple((images, labels - 1) for images, labels in both())


def floats():
    return tuple((images, labels.float()) for images, labels in both())


def onehot():
    return tuple((images, torch.eye(3)[labels].long()) for images, labels in both())


def nan():
    images, labels = make()
    images[3, 0, 0, 0] = float("nan")
    return (images, labels), make(20)


def raises():
    raise ValueError("no data today")


def none():
    return None


def number():
    return 42


def words():
    return [("a", "b")]


def typo():
    return {"train": make(), "tset": make(20)}
"""

TASKS = '''
import torch
from torch.nn.functional import cross_entropy, mse_loss


class Task:
    name = "brightness"

    def inputs(self, batch):
        return batch[:1], {}

    def loss(self, outputs, batch):
        return cross_entropy(outputs, batch[1])

    def score(self, outputs, batch):
        return (outputs.argmax(1) == batch[1]).float()


class Regression(Task):
    """The label is a number to come close to; the outputs are no logits."""

    def loss(self, outputs, batch):
        return mse_loss(outputs[:, 0], batch[1].float())

    def score(self, outputs, batch):
        return torch.exp(-(outputs[:, 0] - batch[1]).square())


class Painting:
    """Masks to be drawn: a batch is a dict, and so are the outputs."""

    name = "painting"

    def inputs(self, batch):
        return (), {"picture": batch["picture"], "gain": batch["gain"]}

    def loss(self, outputs, batch):
        return mse_loss(outputs["paint"], batch["mask"])

    def score(self, outputs, batch):
        right = (outputs["paint"] > 0.5) == (batch["mask"] > 0.5)
        return right.float().mean((1, 2, 3))


class NoInputs(Task):
    def inputs(self, batch):
        return batch["image"], {}


class ManyLosses(Task):
    def loss(self, outputs, batch):
        return cross_entropy(outputs, batch[1], reduction="none")


class NanLoss(Task):
    def loss(self, outputs, batch):
        return super().loss(outputs, batch) * float("nan")


class Percent(Task):
    def score(self, outputs, batch):
        return 100 * super().score(outputs, batch) + 2


class Words(Task):
    def score(self, outputs, batch):
        return "good"


class Lacking:
    name = "lacking"

    def inputs(self, batch):
        return batch[:1], {}


def three():
    return 3


def raises():
    raise KeyError("k")
'''


def write(place: Path) -> None:
    """Write nets.py, mydata.py, mytask.py, and the weights of some networks."""
    for name, text in (("nets", NETS), ("mydata", DATA), ("mytask", TASKS)):
        (place / f"{name}.py").write_text(text.lstrip())
    for name in ("build", "wide", "two", "flat", "linear", "fixed", "painter"):
        function, _ = factories.load(f"{place}/nets.py:{name}")
        torch.manual_seed(0)
        save_file(function().state_dict(), place / f"{name}.safetensors")


def nan_weights(place: Path) -> None:
    """Write weights of ``build`` with one NaN in conv2."""
    function, _ = factories.load(f"{place}/nets.py:build")
    state = function().state_dict()
    state["conv2.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, place / "nan.safetensors")
