"""Layers and small pieces that several architectures share."""

from zoo.layers.batch_normalization import BatchNormalization
from zoo.layers.conv2d import Conv2D
from zoo.layers.convolution import conv, conv_bn, depthwise_bn, inverted_residual, normalized
from zoo.layers.gelu import Gelu
from zoo.layers.heads import activated, predictions
from zoo.layers.inputs import IMAGENET, raw_input
from zoo.layers.local_response import LocalResponseNormalization
from zoo.layers.standardize import Standardize
from zoo.layers.tokens import ClassToken, LearnedPositions

__all__ = [
    "IMAGENET",
    "BatchNormalization",
    "ClassToken",
    "Conv2D",
    "Gelu",
    "LearnedPositions",
    "LocalResponseNormalization",
    "Standardize",
    "activated",
    "conv",
    "conv_bn",
    "depthwise_bn",
    "inverted_residual",
    "normalized",
    "predictions",
    "raw_input",
]
