"""Augmentation is found, and left out where samples must stay the same."""

import random

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from autoprune.data import load_data
from autoprune.errors import UsageError
from tests.augmenting import Noisy, Switched
from tests.numbered_samples import numbered


def fixed_values(data):
    splits = (data.search, data.validation, data.calibration(10))
    return torch.cat([x for split in splits for x, _ in split.batches(8)])


def trained_values(data):
    return torch.cat([x for x, _ in data.train.batches(8, seed=1, augment=True)])


def is_plain(values):
    return bool((values == values.floor()).all())


class Wrapped(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, row):
        return self.dataset[row]


WRAPS = {
    "alone": lambda noisy: noisy,
    "subset": lambda noisy: Subset(noisy, range(60)),
    "joined": lambda noisy: ConcatDataset([noisy, noisy]),
    "wrapped": lambda noisy: Wrapped(Subset(noisy, range(60))),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("source", ["torch", "numpy", "random", "own"])
def test_a_switch_turns_it_off_for_whatever_is_not_trained_on(wrap, source):
    noisy = Switched(80, (source,))
    data = load_data({"train": DataLoader(wrap(noisy), shuffle=True), "test": numbered(8)})
    assert is_plain(fixed_values(data)) and not is_plain(trained_values(data))
    assert noisy.augment is True and data.remarks == ()


def test_a_plain_view_of_the_training_rows():
    plain = torch.arange(80.0)[:, None], torch.arange(80) % 4
    for view in (plain, DataLoader(Noisy(80, ())), Noisy(80, ())):
        data = load_data({"train": Noisy(80), "train_plain": view, "test": numbered(8)})
        assert is_plain(fixed_values(data)) and not is_plain(trained_values(data))
        assert data.remarks == ()
    with pytest.raises(UsageError, match="train_plain has 79 samples, train has 80"):
        load_data({"train": Noisy(80), "train_plain": Noisy(79), "test": numbered(8)})


def test_augmentation_that_cannot_be_left_out_is_said():
    data = load_data((Noisy(80), Noisy(20)))
    train, test = data.remarks
    assert "custom train is augmented at random" in train and "'train_plain'" in train
    assert "samples for search, validation and calibration keep" in train
    assert "custom test is augmented at random" in test
    three = load_data((Noisy(80), Noisy(20, ()), numbered(8)))
    assert len(three.remarks) == 1 and "samples for calibration keep" in three.remarks[0]
    assert load_data((Noisy(80, ()), Noisy(20, ()))).remarks == ()


class Compose:
    """Chain of transforms in torchvision's style, as are those below."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image):
        for step in self.transforms:
            image = step(image)
        return image


class RandomFlip:
    def __call__(self, image):
        return image.flip(-1) if torch.rand(()) < 0.5 else image


class ColorJitter:
    def __call__(self, image):
        return image * random.uniform(0.5, 1.5)


class RandomResizedCrop:
    def __call__(self, image):
        at = random.randrange(3)
        return image[:, at : at + 6, at : at + 6]


class Normalize:
    def __call__(self, image):
        return (image / 255 - 0.5) / 0.25


class Pictures(Dataset):
    def __init__(self, transform):
        self.transform = transform
        self.images = torch.randint(256, (40, 3, 8, 8)).float()

    def __len__(self):
        return 40

    def __getitem__(self, row):
        return self.transform(self.images[row]), row % 4


@pytest.mark.parametrize(
    "steps",
    [
        [RandomFlip(), Normalize()],
        [Normalize(), ColorJitter(), RandomFlip()],
        [Compose([ColorJitter()]), Normalize()],
        [Compose([Normalize(), RandomFlip()])],
    ],
)
def test_random_steps_of_a_transform_are_left_out_and_the_others_kept(steps):
    pictures = Pictures(Compose(list(steps)))
    data = load_data({"train": pictures, "test": Pictures(Normalize())})
    assert data.remarks == ()
    plain = torch.cat([x for x, _ in data.train.batches(7)])
    rows = data.rows["train"][1]
    assert torch.equal(plain, (pictures.images[rows] / 255 - 0.5) / 0.25)
    edges = [x[..., 0].sum((1, 2)).sort().values for x in (plain, trained_values(data))]
    assert not torch.equal(*edges), "training sees the random steps"
    assert pictures.transform.transforms == steps, "the user's data set is not changed"


def test_a_random_crop_that_brings_images_to_one_size_is_no_step_to_leave_out():
    test = torch.rand(8, 3, 6, 6), torch.arange(8) % 4
    data = load_data({"train": Pictures(RandomResizedCrop()), "test": test})
    assert data.image_shape == (3, 6, 6)
    assert "augmented at random" in data.remarks[0]


class OtherRows(Noisy):
    """``train`` says which rows it holds, not whether it augments."""

    def __init__(self, count):
        super().__init__(count)
        self.train = True

    def __getitem__(self, row):
        x, label = super().__getitem__(row)
        return (x, label) if self.train else (torch.tensor([-1.0]), 3 - label)


def test_a_switch_that_leads_to_other_samples_is_none():
    data = load_data({"train": OtherRows(80), "test": numbered(8)})
    assert not is_plain(fixed_values(data)) and (fixed_values(data) >= 0).all()
    assert len(data.remarks) == 1


def test_a_transform_of_ones_own_is_never_left_out():
    class Mine:
        def __call__(self, image):
            return Normalize()(image) + random.random()

    data = load_data({"train": Pictures(Mine()), "test": Pictures(Normalize())})
    assert len(data.remarks) == 1
