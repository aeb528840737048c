"""GoogLeNet, the first Inception network.

*Going Deeper with Convolutions*, Szegedy et al. 2014, https://arxiv.org/abs/1409.4842

Table 1 of the paper: nine modules of four branches. With batch normalization in place of the local
response normalization as in its successor, https://arxiv.org/abs/1502.03167; `wide_kernel=3` gives
the form of a well-known port, in which 3×3 kernels took the place of 5×5. The auxiliary heads help
the gradient of a deep network without normalization: they are outputs of their own for training,
whose losses the paper adds with a weight of 0.3, and no part of what is shipped. Deviations: each
channel of a picture is standardized; weights start as He et al. 2015 proposed for rectifiers.
"""

from collections.abc import Callable, Sequence
from functools import partial

import keras
from keras import KerasTensor, layers

from zoo.layers import (
    IMAGENET,
    LocalResponseNormalization,
    conv,
    conv_bn,
    predictions,
    raw_input,
)
from zoo.spaces import Choice, Float, Space

Convolve = Callable[..., KerasTensor]

# Table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj, for each module of each stage.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
LAST = {"3b": "stage3", "4e": "stage4", "5b": "stage5"}
AUXILIARY = {"4a": "auxiliary1", "4d": "auxiliary2"}


SPACES: dict[str, Space] = {
    "googlenet": {"batch_norm": Choice((False, True)), "dropout": Float(0.0, 0.7)}
}


def googlenet(
    batch_norm: bool = False,
    wide_kernel: int = 5,
    auxiliary: bool = False,
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.4,
    name: str = "googlenet",
) -> keras.Model:
    """Build GoogLeNet.

    Args:
        batch_norm: normalize after each convolution, which then has no bias, and leave out local
            response normalization.
        wide_kernel: side of the kernels of a module's third branch.
        auxiliary: add the two auxiliary heads, to be trained by Keras' own `fit` with
            `loss_weights={"predictions": 1.0, "auxiliary1": 0.3, "auxiliary2": 0.3}`;
            `keras.Model(model.input, model.output["predictions"])` is then what is shipped.
        input_shape: `(height, width, channels)`, uint8, at least 32×32; with auxiliary heads at
            least 65×65.
        classes: number of classes.
        include_top: `False` ends the model with the 1,024 pooled features.
        classifier_activation: "softmax", or `None` for logits.
        dropout: share of the pooled features that is dropped in training.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`; with auxiliary heads to
        a dictionary of "predictions", "auxiliary1" and "auxiliary2".

    Example:
        >>> import zoo
        >>> zoo.build("googlenet").count_params()
        6998552
    """
    if batch_norm:
        convolve: Convolve = partial(conv_bn, epsilon=1e-3)
    else:
        convolve = partial(conv, activation="relu")
    inputs, x = raw_input(input_shape, bounds=IMAGENET)
    x = convolve(x, 64, 7, 2, name="conv1")  # (batch, 112, 112, 64)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stage1")(x)
    if not batch_norm:
        x = LocalResponseNormalization(name="norm1")(x)
    x = convolve(x, 64, 1, name="conv2_reduce")
    x = convolve(x, 192, 3, name="conv2")
    if not batch_norm:
        x = LocalResponseNormalization(name="norm2")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stage2")(x)  # (batch, 28, 28, 192)
    outputs = {}
    for label, widths in MODULES.items():
        if label in {"4a", "5a"}:
            x = layers.MaxPooling2D(3, 2, padding="same", name=f"pool{label[0]}")(x)
        x = _module(x, widths, wide_kernel, convolve, label)
        if auxiliary and include_top and label in AUXILIARY:
            outputs[AUXILIARY[label]] = _auxiliary(
                x, classes, classifier_activation, convolve, AUXILIARY[label]
            )
    # (batch, 7, 7, 1024)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if not include_top:
        return keras.Model(inputs, x, name=name)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, {"predictions": x, **outputs} if outputs else x, name=name)


def _module(
    x: KerasTensor, widths: Sequence[int], wide_kernel: int, convolve: Convolve, name: str
) -> KerasTensor:
    single, reduce3, wide3, reduce5, wide5, projection = widths
    pooled = layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    thin3 = convolve(x, reduce3, 1, name=f"{name}_3x3_reduce")
    thin5 = convolve(x, reduce5, 1, name=f"{name}_5x5_reduce")
    branches = [
        convolve(x, single, 1, name=f"{name}_1x1"),
        convolve(thin3, wide3, 3, name=f"{name}_3x3"),
        convolve(thin5, wide5, wide_kernel, name=f"{name}_5x5"),
        convolve(pooled, projection, 1, name=f"{name}_projection"),
    ]
    return layers.Concatenate(name=LAST.get(name, name))(branches)


def _auxiliary(
    x: KerasTensor,
    classes: int,
    classifier_activation: str | None,
    convolve: Convolve,
    name: str,
) -> KerasTensor:
    x = layers.AveragePooling2D(5, 3, name=f"{name}_pool")(x)  # (batch, 4, 4, …)
    x = convolve(x, 128, 1, name=f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(1024, "relu", kernel_initializer="he_normal", name=f"{name}_fc")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return layers.Dense(classes, classifier_activation, dtype="float32", name=name)(x)
