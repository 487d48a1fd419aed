"""Data: four splits, held in memory or read as they are needed, from a name, path or objects."""

from autoprune.data.load import load_data
from autoprune.data.loader import Loader
from autoprune.data.samples import Samples
from autoprune.data.split import ImageForm, Split
from autoprune.data.split_record import SPLITS, describe
from autoprune.data.splits import Data

__all__ = ["SPLITS", "Data", "ImageForm", "Loader", "Samples", "Split", "describe", "load_data"]
