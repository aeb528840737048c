"""Generative adversarial networks of dense layers, free and conditional.

*Generative Adversarial Networks*, Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661
*Conditional Generative Adversarial Nets*, Mirza & Osindero 2014, https://arxiv.org/abs/1411.1784,
section 4.1

Deviations: leaky rectifiers in place of maxout, and as wide as reimplementations have them;
pictures lie in 0…1 outside of both networks, and in -1…1 within.
"""

import math
from collections.abc import Sequence

import keras
from keras import layers

from zoo.generative.parts import code_and_label, picture_and_label, seen, shown
from zoo.spaces import Int, Space, Widths

_SLOPE = 0.2


SPACES: dict[str, Space] = {
    "gan": {"latent": Int(16, 256, "log"), "hidden": Widths(1, 3, Int(64, 1024, "log"))},
    "gan_discriminator": {"hidden": Widths(1, 3, Int(64, 1024, "log"))},
}


def gan(
    output_shape: Sequence[int] = (28, 28, 1),
    latent: int = 100,
    hidden: Sequence[int] = (256, 512, 1024),
    classes: int = 0,
    name: str = "gan",
) -> keras.Model:
    """Build the generator.

    Args:
        output_shape: of the pictures.
        latent: width of the code.
        hidden: widths of the hidden layers.
        classes: number of classes that a picture can be asked of; 0 for none.
        name: name of the model.

    Returns:
        `keras.Model` from "code" `(batch, latent)`, standard normal numbers (with `classes`, from a
        `dict` of it and of the integers "label" `(batch,)`), to pictures, float32 in 0…1.

    Example:
        >>> import zoo
        >>> zoo.build("gan").count_params()
        1486352
    """
    inputs, x = code_and_label(latent, classes)
    for number, units in enumerate(hidden, start=1):
        x = layers.Dense(units, name=f"dense{number}")(x)
        x = layers.LeakyReLU(_SLOPE, name=f"stage{number}")(x)
    x = layers.Dense(math.prod(output_shape), name="pixels")(x)
    return keras.Model(inputs, shown(layers.Reshape(output_shape, name="picture")(x)), name=name)


def gan_discriminator(
    input_shape: Sequence[int] = (28, 28, 1),
    hidden: Sequence[int] = (512, 256),
    classes: int = 0,
    name: str = "gan_discriminator",
) -> keras.Model:
    """Build the network that judges pictures.

    Args:
        input_shape: of the pictures.
        hidden: widths of the hidden layers.
        classes: number of classes, if it judges whether a picture is one of its class.
        name: name of the model.

    Returns:
        `keras.Model` from "image", float32 in 0…1 (with `classes`, from a `dict` of it and of the
        integers "label" `(batch,)`), to float32 logits `(batch,)`: the higher, the likelier is the
        picture a real one.

    Example:
        >>> import zoo
        >>> zoo.build("gan_discriminator").count_params()
        533505
    """
    inputs, image, label = picture_and_label(input_shape, classes)
    x = layers.Flatten(name="flatten")(seen(image))
    if label is not None:
        words = layers.Embedding(classes, hidden[0], name="class")(label)
    for number, units in enumerate(hidden, start=1):
        x = layers.Dense(units, name=f"dense{number}")(x)
        if label is not None and number == 1:  # as one more input of the first layer
            x = x + words
        x = layers.LeakyReLU(_SLOPE, name=f"stage{number}")(x)
    logits = layers.Dense(1, name="logits")(x)
    return keras.Model(
        inputs, layers.Reshape((), dtype="float32", name="judgement")(logits), name=name
    )
