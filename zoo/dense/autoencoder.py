"""Autoencoders of images: shallow, deep and denoising.

*Auto-association by multilayer perceptrons and singular value decomposition*, Bourlard & Kamp
1988, https://doi.org/10.1007/BF00332918
*Reducing the dimensionality of data with neural networks*, Hinton & Salakhutdinov 2006,
https://doi.org/10.1126/science.1127647
*Extracting and composing robust features with denoising autoencoders*, Vincent et al. 2008,
https://doi.org/10.1145/1390156.1390294

Deviations: the denoising one takes clean or noisy images and adds no noise itself: the noise comes
from the data pipeline (`augment={"noise": 0.2}` in a recipe), so that none is left in an export.
"""

import math
from collections.abc import Sequence

import keras
from keras import layers

from zoo.layers import activated, raw_input
from zoo.spaces import Choice, Int, Space, Widths

SPACES: dict[str, Space] = {
    "autoencoder": {
        "hidden": Widths(0, 2, Int(32, 512, "log")),
        "code": Int(4, 64, "log"),
        "activation": Choice(("tanh", "relu", "gelu")),
    }
}


def autoencoder(
    input_shape: Sequence[int] = (28, 28, 1),
    hidden: Sequence[int] = (),
    code: int = 30,
    activation: str = "tanh",
    include_top: bool = True,
    name: str = "autoencoder",
) -> keras.Model:
    """Build an autoencoder.

    Args:
        input_shape: `(height, width, channels)`, uint8.
        hidden: widths between input and code; the decoder has them in reverse order.
        code: width of the code, a layer named "code".
        activation: Keras name of the hidden activation; the outputs pass through a sigmoid.
        include_top: `False` ends the model with the code.
        name: name of the model.

    Returns:
        `keras.Model` from uint8 images to their reconstruction, float32 in 0…1, of `input_shape`.

    Example:
        >>> import zoo
        >>> zoo.build("autoencoder", hidden=(50,), code=10).count_params()
        80294
    """
    inputs, x = raw_input(input_shape)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(hidden, start=1):
        x = layers.Dense(units, name=f"dense{number}")(x)
        x = activated(x, activation, name=f"stage{number}")
    x = layers.Dense(code, activation=activation, name="code")(x)
    if not include_top:
        return keras.Model(inputs, x, name=name)
    for number, units in enumerate(reversed(hidden), start=len(hidden) + 1):
        x = layers.Dense(units, name=f"dense{number}")(x)
        x = activated(x, activation, name=f"stage{number}")
    x = layers.Dense(math.prod(input_shape), activation="sigmoid", dtype="float32", name="pixels")(
        x
    )
    x = layers.Reshape(input_shape, dtype="float32", name="reconstruction")(x)
    return keras.Model(inputs, x, name=name)


def encoder(model: keras.Model) -> keras.Model:
    """Return the first half of an autoencoder, from images to codes; it shares the layers.

    Example:
        >>> import zoo
        >>> from zoo.dense.autoencoder import encoder
        >>> encoder(zoo.build("autoencoder")).output_shape
        (None, 30)
    """
    return keras.Model(model.input, model.get_layer("code").output, name=f"{model.name}_encoder")


def decoder(model: keras.Model) -> keras.Model:
    """Return the second half of an autoencoder, from codes to images; it shares the layers.

    Example:
        >>> import zoo
        >>> from zoo.dense.autoencoder import decoder
        >>> decoder(zoo.build("autoencoder")).input_shape
        (None, 30)
    """
    names = [layer.name for layer in model.layers]
    code = model.get_layer("code").output
    x = codes = keras.Input(code.shape[1:], name="code")
    for layer in model.layers[names.index("code") + 1 :]:
        x = layer(x)
    return keras.Model(codes, x, name=f"{model.name}_decoder")
