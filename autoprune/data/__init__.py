"""Data: four splits held in memory, from a name, a path or python objects."""

from autoprune.data.load import load_data
from autoprune.data.split import Data, ImageForm, Split
from autoprune.data.split_record import SPLITS, describe

__all__ = ["SPLITS", "Data", "ImageForm", "Split", "describe", "load_data"]
