"""The four splits of a data set together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoprune.data.classification import Classification
from autoprune.data.read_split import held
from autoprune.data.samples import Samples
from autoprune.data.split import ImageForm
from autoprune.data.task import Task, example_inputs
from autoprune.errors import UsageError

CALIBRATED: Final = 2**30
"""Most bytes of calibration samples that are held in memory: they are read many times."""


@dataclass(frozen=True, eq=False)
class Data:
    """The four disjoint splits of a data set; ``test`` is read once, at the end.

    - ``known_classes``: the number of classes if the samples are (inputs..., class label), else
      None; or a function that returns it, since that may take reading all of them.
    - ``rows`` says for every split which part of the source it is from, and which rows of that.
    - ``remarks``: what the user should know about the data, a line each.
    - ``class_names``: the names of the classes in the order of the outputs, if the source has any.

    Raises UsageError if samples of the splits differ in form or a float among them is not finite.
    """

    name: str
    train: Samples
    search: Samples
    validation: Samples
    test: Samples
    known_classes: int | Callable[[], int | None] | None = None
    rows: Mapping[str, tuple[str, Tensor]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        form = self.train.sample
        for name, split in self.splits.items():
            if split.sample != form:
                raise UsageError(
                    f"{self.name}: a sample of {name} is {split.sample}, one of train is {form}"
                )
            split.check_finite()

    @property
    def splits(self) -> dict[str, Samples]:
        """The splits by name."""
        return {
            "train": self.train,
            "search": self.search,
            "validation": self.validation,
            "test": self.test,
        }

    @property
    def form(self) -> ImageForm | None:
        """How uint8 images become inputs; None for samples that are inputs already."""
        form: ImageForm | None = getattr(self.train, "form", None)
        return form

    @cached_property
    def classes(self) -> int | None:
        """Number of classes if the samples are (inputs..., class label), else None."""
        return self.known_classes() if callable(self.known_classes) else self.known_classes

    def calibration(self, count: int, seed: int = 0) -> Samples:
        """Draw ``count`` training samples (all, if there are fewer), to be used unaugmented."""
        return held(self.train.take(count, seed), CALIBRATED)

    def example(self, task: Task, count: int = 2) -> Any:
        """Return ``count`` training samples as the inputs that ``analyze`` takes."""
        batch = next(iter(self.train.take(count).batches(count)))
        return example_inputs(task, batch)

    @property
    def example_inputs(self) -> Any:
        """Two training samples as inputs of a classifier, in the form that ``analyze`` takes."""
        return self.example(Classification())

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) if the first leaf of a sample is an image."""
        shape = tuple(tree_leaves(self.train.probe)[0].shape[1:])
        return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what identifies the samples of all splits, stable across processes."""
        digest = hashlib.sha256()
        for name, split in self.splits.items():
            digest.update(name.encode())
            split.update(digest)
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str) -> Data:
        """Return the data with its tensors on ``device``."""
        return replace(
            self,
            train=self.train.to(device),
            search=self.search.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )
