"""Data: in-memory splits out of the embedded digits, images on disk, the hub, or python objects."""

from autoprune.data.load import load_data
from autoprune.data.split import Data, ImageForm, Split

__all__ = ["Data", "ImageForm", "Split", "load_data"]
