"""The halves of an autoencoder, exported each by itself."""

from typing import TYPE_CHECKING

import numpy as np

from export.parity import Samples
from zoo.errors import InputError
from zoo.registry import unknown

if TYPE_CHECKING:
    import keras

ENCODER, DECODER = "encoder", "decoder"
PARTS = (ENCODER, DECODER)
_NOISE_SEED = 3_000_017


def part_of(model: "keras.Model", part: str, task: str) -> tuple["keras.Model", str]:
    """Return a half of an autoencoder, and its task.

    An encoder's is "encoding"; a decoder's is its autoencoder's, but for a variational one, whose
    codes can be drawn: "generation".

    Raises:
        InputError: there is no such part, or the model is no autoencoder.
    """
    from zoo.dense import autoencoder
    from zoo.generative.vae import is_variational

    if part not in PARTS:
        raise unknown(part, PARTS, "part")
    if task != "reconstruction" or not any(layer.name == "code" for layer in model.layers):
        raise InputError(f"{model.name!r} has no {part}: only autoencoders have one.")
    if part == ENCODER:
        return autoencoder.encoder(model), "encoding"
    return autoencoder.decoder(model), "generation" if is_variational(model) else task


def samples_of(model: "keras.Model", part: str, samples: Samples) -> Samples:
    """Return what a half of an autoencoder is compared on, from samples of the whole.

    A variational autoencoder's decoder is given codes as it learned from: drawn around their means,
    which alone would lie nearer to 0 than codes that are drawn from the standard normal.

    Args:
        model: the whole autoencoder.
        part: "encoder" or "decoder".
        samples: pictures, and what their reconstructions are held against, or `None`.
    """
    pictures, targets = samples
    if part == ENCODER:
        return pictures, None
    return codes_of(model, pictures), targets


def codes_of(
    model: "keras.Model", pictures: np.ndarray | dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the codes of pictures, by the name of the decoder's input."""
    import keras

    from zoo.generative.vae import is_variational

    code = model.get_layer("code")
    given = code.input if is_variational(model) else code.output
    found = keras.Model(model.input, given).predict(pictures, batch_size=500, verbose=0)
    if not is_variational(model):
        return {"code": found}
    mean, log_variance = found
    noise = np.random.default_rng(_NOISE_SEED).standard_normal(mean.shape)
    return {"code": (mean + np.exp(log_variance / 2) * noise).astype("float32")}
