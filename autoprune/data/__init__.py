"""Data: four splits held in memory, from a name, a path or python objects."""

from autoprune.data.load import load_data
from autoprune.data.record import SPLITS, describe
from autoprune.data.split import Data, ImageForm, Split

__all__ = ["SPLITS", "Data", "ImageForm", "Split", "describe", "load_data"]
