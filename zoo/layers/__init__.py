"""Layers and small pieces that several architectures share."""

from zoo.layers.batch_normalization import BatchNormalization
from zoo.layers.convolution import conv_bn, depthwise_bn
from zoo.layers.heads import activated, predictions
from zoo.layers.inputs import IMAGENET, raw_input
from zoo.layers.standardize import Standardize
from zoo.layers.tokens import ClassToken, LearnedPositions

__all__ = [
    "IMAGENET",
    "BatchNormalization",
    "ClassToken",
    "LearnedPositions",
    "Standardize",
    "activated",
    "conv_bn",
    "depthwise_bn",
    "predictions",
    "raw_input",
]
