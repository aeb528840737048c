"""Which architectures the tests look at closely, and at which size."""

from typing import Any

import keras
import numpy as np

import zoo
from zoo.catalog import NAMES

_SMALL = {"input_shape": (64, 64, 3), "classes": 10}

# What a name is built with where its own size would only cost time.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet": _SMALL,
    "vgg11": _SMALL,
    "vgg11_bn": _SMALL,
    "googlenet": _SMALL,
    "googlenet_bn": _SMALL,
    "inception_v3": {"input_shape": (75, 75, 3), "classes": 10},
    "resnet18": _SMALL,
    "resnet50": _SMALL | {"blocks": (1, 2, 1, 1)},
    "resnet18_v2": _SMALL,
    "resnet50_v2": _SMALL | {"blocks": (1, 2, 1, 1)},
    "wide_resnet_16_4": {"input_shape": (16, 16, 3)},
    "mobilenet_v2_half": _SMALL,
}

# Deeper or wider than another variant of the same builder, or trained with further outputs: they
# are counted, and called where they have something of their own.
LARGER = {
    "resnet32", "resnet44", "resnet56", "resnet110", "resnet32_b", "resnet44_b", "resnet56_b",
    "resnet110_b", "vit_ti4", "vit_ti16", "vit_s16", "vit_b16", "alexnet_one_group", "alexnet_2014",
    "vgg13", "vgg16", "vgg19", "vgg13_bn", "vgg16_bn", "vgg19_bn", "googlenet_auxiliary",
    "googlenet_bn_auxiliary", "googlenet_bn_3x3", "inception", "resnet34", "resnet101", "resnet152",
    "resnet50_v1_5", "resnet101_v1_5", "resnet152_v1_5", "resnet34_v2", "resnet101_v2",
    "resnet152_v2", "wide_resnet_28_10", "wide_resnet_40_2", "wide_resnet_40_4", "mobilenet_v2",
}  # fmt: skip
# With random weights, rounding to eight bits grows from layer to layer: of these, the answers to
# different pictures are told apart alike, and not more.
DEEP = {"googlenet_bn", "inception_v3", "mobilenet_v2_half"}
CLOSELY = [name for name in NAMES if name not in LARGER]


def nearly_alike(name: str, rounded: np.ndarray, exact: np.ndarray) -> bool:
    """Return whether an architecture's outputs in bfloat16 are as near as they can be."""
    if name not in DEEP:
        return bool(np.abs(rounded - exact).max() <= 0.06)
    usual = exact.mean(axis=0)
    return bool(np.corrcoef((rounded - usual).ravel(), (exact - usual).ravel())[0, 1] > 0.5)


def build(name: str, **arguments: Any) -> keras.Model:
    """Build an architecture at the size that the tests look at."""
    return zoo.build(name, **SMALL.get(name, {}) | arguments)
