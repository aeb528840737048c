"""Variational autoencoders of images, dense and convolutional.

*Auto-Encoding Variational Bayes*, Kingma & Welling 2014, https://arxiv.org/abs/1312.6114, section 3
and appendix C

Deviations: rectifiers in place of the hyperbolic tangent; in the convolutional one, the kernels of
DCGAN. The pictures are the means of the decoder's distributions. The divergence of the codes is
added to the losses for each pixel, as the reconstruction's loss is, so that the sum is the negative
evidence lower bound by pixel when the reconstruction's is the binary cross-entropy.
"""

import math
from collections.abc import Sequence

import keras
from keras import layers

from zoo.layers import Conv2D, GaussianCode, raw_input
from zoo.spaces import Int, Space, Widths

_KERNEL_SIZE = 4


# Without beta: it changes what the loss is, and losses of two betas do not compare.
SPACES: dict[str, Space] = {
    "vae": {
        "hidden": Widths(1, 2, Int(64, 1024, "log")),
        "code": Int(2, 64, "log"),
    }
}


def vae(
    input_shape: Sequence[int] = (28, 28, 1),
    filters: Sequence[int] = (),
    hidden: Sequence[int] = (500,),
    code: int = 20,
    beta: float = 1.0,
    include_top: bool = True,
    name: str = "vae",
) -> keras.Model:
    """Build a variational autoencoder.

    Args:
        input_shape: `(height, width, channels)`, uint8; each convolution halves the sides.
        filters: channels of the encoder's convolutions; the decoder has them in reverse order.
        hidden: widths of the dense layers between them and the code.
        code: width of the code, a layer named "code": drawn in training, else its mean.
        beta: weight of the divergence against the reconstruction; above 1 asks for independent
            numbers in the code (Higgins et al. 2017).
        include_top: `False` ends the model with the code.
        name: name of the model.

    Returns:
        `keras.Model` from uint8 images to their reconstruction, float32 in 0…1, of `input_shape`.

    Raises:
        ValueError: the sides cannot be halved so often.

    Example:
        >>> import zoo
        >>> zoo.build("vae").count_params()
        815824
    """
    halved = 2 ** len(filters)
    if input_shape[0] % halved or input_shape[1] % halved:
        raise ValueError(
            f"pictures of {input_shape[0]}×{input_shape[1]} cannot be halved {len(filters)} times."
        )
    inputs, x = raw_input(input_shape)
    for number, channels in enumerate(filters, start=1):
        x = Conv2D(
            channels,
            _KERNEL_SIZE,
            2,
            padding="same",
            kernel_initializer="he_normal",
            name=f"conv{number}",
        )(x)
        x = layers.ReLU(name=f"conv{number}_relu")(x)
    map_shape = tuple(x.shape[1:])
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(hidden, start=1):
        x = _dense_relu(x, units, number)
    mean = layers.Dense(code, dtype="float32", name="code_mean")(x)
    log_variance = layers.Dense(
        code, kernel_initializer="zeros", dtype="float32", name="code_log_variance"
    )(x)
    weight = beta / math.prod(input_shape)
    x = GaussianCode(weight, dtype="float32", name="code")([mean, log_variance])
    if not include_top:
        return keras.Model(inputs, x, name=name)
    for number, units in enumerate(reversed(hidden), start=len(hidden) + 1):
        x = _dense_relu(x, units, number)
    if filters:
        x = _dense_relu(x, math.prod(map_shape), 2 * len(hidden) + 1)
        x = layers.Reshape(map_shape, name="map")(x)
        for number, channels in enumerate(filters[-2::-1], start=len(filters) + 1):
            x = _doubled(x, channels, f"conv{number}")
            x = layers.ReLU(name=f"conv{number}_relu")(x)
        x = _doubled(x, input_shape[-1], "pixels")
    else:
        x = layers.Dense(math.prod(input_shape), name="pixels")(x)
    x = layers.Activation("sigmoid", dtype="float32", name="sigmoid")(x)
    x = layers.Reshape(input_shape, dtype="float32", name="reconstruction")(x)
    return keras.Model(inputs, x, name=name)


def is_variational(model: keras.Model) -> bool:
    """Return whether a model is an autoencoder whose codes can be drawn."""
    return any(isinstance(layer, GaussianCode) for layer in model.layers)


def _dense_relu(x: keras.KerasTensor, units: int, number: int) -> keras.KerasTensor:
    x = layers.Dense(units, kernel_initializer="he_normal", name=f"dense{number}")(x)
    return layers.ReLU(name=f"stage{number}")(x)


def _doubled(x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
    return layers.Conv2DTranspose(channels, _KERNEL_SIZE, 2, padding="same", name=name)(x)
