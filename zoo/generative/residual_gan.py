"""Residual generators and critics.

*Improved Training of Wasserstein GANs*, Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028,
appendix F (table 3: CIFAR-10); *Spectral Normalization for Generative Adversarial Networks*, Miyato
et al. 2018, https://arxiv.org/abs/1802.05957, appendix B (table 4)

Deviations: the critic adds up its last map, as Miyato et al. have it, also where Gulrajani et al.
average; pictures lie in 0…1 outside of both networks, and in -1…1 within.
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from zoo.generative.parts import (
    NORMALIZATIONS,
    code_and_label,
    judged,
    picture_and_label,
    projected,
    seen,
    shown,
)
from zoo.layers import BatchNormalization, Conv2D
from zoo.spaces import Choice, Int, Space

_HALVINGS = {28: 2, 32: 3, 64: 4}
_FEWEST_HALVINGS = 2  # of the critic, which has one less than the generator
_PLAIN_BLOCKS = 2  # of the critic, after those that halve


SPACES: dict[str, Space] = {
    "residual_gan": {"latent": Int(16, 256, "log"), "width": Choice((16, 32, 64, 128))},
    "residual_critic": {"width": Choice((16, 32, 64, 128))},
}


def residual_gan(
    output_shape: Sequence[int] = (32, 32, 3),
    latent: int = 128,
    width: int = 128,
    classes: int = 0,
    name: str = "residual_gan",
) -> keras.Model:
    """Build the generator.

    Args:
        output_shape: `(side, side, channels)` of the pictures; a side of 28, 32 or 64.
        latent: width of the code.
        width: channels of every map.
        classes: number of classes that a picture can be asked of; 0 for none.
        name: name of the model.

    Returns:
        `keras.Model` from "code" `(batch, latent)`, standard normal numbers (with `classes`, from a
        `dict` of it and of the integers "label" `(batch,)`), to pictures, float32 in 0…1.

    Raises:
        ValueError: the pictures have another side.

    Example:
        >>> import zoo
        >>> zoo.build("residual_gan", width=16).output_shape
        (None, 32, 32, 3)
    """
    halvings = _halvings(output_shape)
    start = output_shape[0] // 2**halvings
    inputs, x = code_and_label(latent, classes)
    x = layers.Dense(start * start * width, name="project")(x)
    x = layers.Reshape((start, start, width), name="map")(x)
    for number in range(1, halvings + 1):
        x = _doubled(x, width, f"stage{number}")  # (batch, side, side, width)
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, name="bn")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2D(output_shape[-1], 3, padding="same", name="picture")(x)
    return keras.Model(inputs, shown(x), name=name)


def residual_critic(
    input_shape: Sequence[int] = (32, 32, 3),
    width: int = 128,
    normalization: str = "none",
    classes: int = 0,
    name: str = "residual_critic",
) -> keras.Model:
    """Build the network that judges pictures.

    Args:
        input_shape: `(side, side, channels)`; a side of 28, 32 or 64.
        width: channels of every map.
        normalization: "none" or "spectral" (of all kernels).
        classes: number of classes, if it judges whether a picture is one of its class.
        name: name of the model.

    Returns:
        `keras.Model` from "image", float32 in 0…1 (with `classes`, from a `dict` of it and of the
        integers "label" `(batch,)`), to float32 logits `(batch,)`: the higher, the likelier is the
        picture a real one.

    Raises:
        ValueError: the pictures have another side, or there is no such normalization.

    Example:
        >>> import zoo
        >>> zoo.build("residual_critic", width=16).output_shape
        (None,)
    """
    if normalization not in NORMALIZATIONS or normalization == "batch":
        raise ValueError(f"normalization is none or spectral, not {normalization!r}.")
    inputs, image, label = picture_and_label(input_shape, classes)
    x = seen(image)
    halving = max(_FEWEST_HALVINGS, _halvings(input_shape) - 1)
    for number in range(1, halving + _PLAIN_BLOCKS + 1):
        x = _critic_block(x, width, number <= halving, normalization, number)
    x = layers.ReLU(name="relu")(x)
    pooled = ops.sum(x, axis=(1, 2))  # (batch, width)
    logits = judged(layers.Dense(1, name="logits"), normalization)(pooled)
    if label is not None:
        logits = logits + projected(pooled, label, classes, normalization)
    return keras.Model(
        inputs, layers.Reshape((), dtype="float32", name="judgement")(logits), name=name
    )


def _doubled(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    """Apply a block of the generator that doubles the sides."""
    # Not UpSampling2D: LiteRT loses the shape behind the repetitions that it is made of.
    size = (2 * x.shape[1], 2 * x.shape[2])
    shortcut = ops.image.resize(x, size, interpolation="nearest")
    shortcut = Conv2D(width, 1, name=f"{name}_shortcut")(shortcut)
    for number in (1, 2):
        x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn{number}")(x)
        x = layers.ReLU(name=f"{name}_relu{number}")(x)
        if number == 1:
            x = ops.image.resize(x, size, interpolation="nearest")
        x = Conv2D(
            width, 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv{number}"
        )(x)
    return layers.Add(name=name)([x, shortcut])


def _critic_block(
    x: keras.KerasTensor, width: int, halves: bool, normalization: str, number: int
) -> keras.KerasTensor:
    """Apply a block of the critic. The first one sees the pictures themselves, unrectified."""
    name, first, shortcut = f"stage{number}", number == 1, x

    def conv(filters: int, size: int, part: str) -> keras.Layer:
        layer = Conv2D(
            filters,
            size,
            padding="same",
            kernel_initializer="he_normal" if size > 1 else "glorot_uniform",
            name=f"{name}_{part}",
        )
        return judged(layer, normalization)

    if not first:
        x = layers.ReLU(name=f"{name}_relu1")(x)
    x = conv(width, 3, "conv1")(x)
    x = layers.ReLU(name=f"{name}_relu2")(x)
    x = conv(width, 3, "conv2")(x)
    if halves:
        x = layers.AveragePooling2D(2, name=f"{name}_half")(x)
        if first:
            shortcut = layers.AveragePooling2D(2, name=f"{name}_half_shortcut")(shortcut)
        shortcut = conv(width, 1, "shortcut")(shortcut)
        if not first:
            shortcut = layers.AveragePooling2D(2, name=f"{name}_half_shortcut")(shortcut)
    return layers.Add(name=name)([x, shortcut])


def _halvings(shape: Sequence[int]) -> int:
    if shape[0] != shape[1] or shape[0] not in _HALVINGS:
        raise ValueError(f"pictures are 28×28, 32×32 or 64×64, not {shape[0]}×{shape[1]}.")
    return _HALVINGS[shape[0]]
