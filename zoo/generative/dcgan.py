"""Deep convolutional generative adversarial networks.

*Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks*,
Radford, Metz & Chintala 2015, https://arxiv.org/abs/1511.06434, section 3 and figure 1

Kernels are 4×4, as in the authors' later code, not 5×5 as in the paper. Pictures lie in 0…1 outside
of both networks, and in -1…1 within. Variants by what came later: without normalization, the critic
of *Wasserstein GAN*, Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, section 4.2 (whose
critic keeps batch normalization unless its gradient is penalized: Gulrajani et al. 2017,
https://arxiv.org/abs/1704.00028, section 4); spectral normalization, Miyato et al. 2018,
https://arxiv.org/abs/1802.05957; a label that is part of the code (*Conditional Generative
Adversarial Nets*, Mirza & Osindero 2014, https://arxiv.org/abs/1411.1784) and that the critic
projects on (*cGANs with Projection Discriminator*, Miyato & Koyama 2018,
https://arxiv.org/abs/1802.05637).
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from zoo.generative.parts import (
    NORMALIZATIONS,
    code_and_label,
    judged,
    normal,
    picture_and_label,
    projected,
    seen,
    shown,
)
from zoo.layers import BatchNormalization, Conv2D
from zoo.spaces import Choice, Int, Space

_KERNEL_SIZE = 4
_SMALLEST = 4  # side of a map, unless it is odd before


SPACES: dict[str, Space] = {
    "dcgan": {"latent": Int(16, 256, "log"), "width": Choice((16, 32, 64, 128))},
    "dcgan_discriminator": {"width": Choice((16, 32, 64, 128))},
}


def dcgan(
    output_shape: Sequence[int] = (28, 28, 1),
    latent: int = 100,
    width: int = 64,
    classes: int = 0,
    name: str = "dcgan",
) -> keras.Model:
    """Build the generator.

    Args:
        output_shape: `(side, side, channels)` of the pictures; the side is halved while it is even
            and above 4.
        latent: width of the code.
        width: channels of the last map before the pictures; every map before has twice as many.
        classes: number of classes that a picture can be asked of; 0 for none.
        name: name of the model.

    Returns:
        `keras.Model` from "code" `(batch, latent)`, standard normal numbers (with `classes`, from a
        `dict` of it and of the integers "label" `(batch,)`), to pictures, float32 in 0…1.

    Raises:
        ValueError: the pictures are not square, or their side is odd or not above 4.

    Example:
        >>> import zoo
        >>> zoo.build("dcgan", output_shape=(64, 64, 3)).output_shape
        (None, 64, 64, 3)
    """
    sides = _sides(output_shape)
    filters = [width * 2**number for number in range(len(sides) - 1)][::-1]
    inputs, x = code_and_label(latent, classes)
    start = sides[-1]
    x = layers.Dense(
        start * start * filters[0], use_bias=False, kernel_initializer=normal(), name="project"
    )(x)
    x = layers.Reshape((start, start, filters[0]), name="map")(x)
    for number, channels in enumerate(filters, start=1):
        if number > 1:
            x = layers.Conv2DTranspose(
                channels,
                _KERNEL_SIZE,
                2,
                padding="same",
                use_bias=False,
                kernel_initializer=normal(),
                name=f"conv{number}",
            )(x)
        x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"bn{number}")(x)
        x = layers.ReLU(name=f"stage{number}")(x)  # (batch, side, side, channels)
    x = layers.Conv2DTranspose(
        output_shape[-1],
        _KERNEL_SIZE,
        2,
        padding="same",
        use_bias=False,
        kernel_initializer=normal(),
        name="picture",
    )(x)
    return keras.Model(inputs, shown(x), name=name)


def dcgan_discriminator(
    input_shape: Sequence[int] = (28, 28, 1),
    width: int = 64,
    normalization: str = "batch",
    classes: int = 0,
    name: str = "dcgan_discriminator",
) -> keras.Model:
    """Build the network that judges pictures, be it called discriminator or critic.

    Args:
        input_shape: `(side, side, channels)`.
        width: channels of the first map; every map after it has twice as many.
        normalization: "batch" (from the second map on), "spectral" (of all kernels) or "none".
        classes: number of classes, if it judges whether a picture is one of its class.
        name: name of the model.

    Returns:
        `keras.Model` from "image", float32 in 0…1 (with `classes`, from a `dict` of it and of the
        integers "label" `(batch,)`), to float32 logits `(batch,)`: the higher, the likelier is the
        picture a real one.

    Raises:
        ValueError: the pictures are not square, their side is odd or not above 4, or there is no
            such normalization.

    Example:
        >>> import zoo
        >>> zoo.build("dcgan_discriminator", normalization="none").output_shape
        (None,)
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization is {', '.join(NORMALIZATIONS)}, not {normalization!r}.")
    sides = _sides(input_shape)
    inputs, image, label = picture_and_label(input_shape, classes)
    x = seen(image)
    for number in range(1, len(sides)):
        conv = Conv2D(
            width * 2 ** (number - 1),
            _KERNEL_SIZE,
            2,
            padding="same",
            use_bias=False,
            kernel_initializer=normal(),
            name=f"conv{number}",
        )
        x = judged(conv, normalization)(x)
        if normalization == "batch" and number > 1:
            x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"bn{number}")(x)
        x = layers.LeakyReLU(0.2, name=f"stage{number}")(x)  # (batch, side, side, channels)
    last = layers.Dense(1, use_bias=False, kernel_initializer=normal(), name="logits")
    logits = judged(last, normalization)(layers.Flatten(name="flatten")(x))
    if label is not None:
        logits = logits + projected(ops.sum(x, axis=(1, 2)), label, classes, normalization)
    return keras.Model(
        inputs, layers.Reshape((), dtype="float32", name="judgement")(logits), name=name
    )


def _sides(shape: Sequence[int]) -> list[int]:
    """Return the sides of all maps, from the pictures' own to the smallest."""
    if shape[0] != shape[1]:
        raise ValueError(f"pictures are square, not {shape[0]}×{shape[1]}.")
    sides = [shape[0]]
    while sides[-1] % 2 == 0 and sides[-1] > _SMALLEST:
        sides.append(sides[-1] // 2)
    if len(sides) < 2:
        raise ValueError(f"a side of {shape[0]} cannot be halved: it must be even, and above 4.")
    return sides
