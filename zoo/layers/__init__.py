"""Layers and small pieces that several architectures share."""

from zoo.layers.heads import activated, predictions
from zoo.layers.inputs import raw_input
from zoo.layers.standardize import Standardize

__all__ = ["Standardize", "activated", "predictions", "raw_input"]
