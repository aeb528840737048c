"""What all generative adversarial networks have in common: their inputs, outputs and weights."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

NORMALIZATIONS = ("batch", "spectral", "none")
_LABEL_WIDTH = 32  # numbers that a label becomes beside a code


def normal() -> keras.initializers.Initializer:
    """Return DCGAN's initializer."""
    return keras.initializers.RandomNormal(stddev=0.02)


def code_and_label(latent: int, classes: int) -> tuple[Any, keras.KerasTensor]:
    """Return the inputs of a generator, and all that it knows as one tensor `(batch, width)`."""
    if latent < 1:
        raise ValueError(f"a code has one number at least, not {latent}.")
    code = keras.Input((latent,), name="code")
    if not classes:
        return code, code
    label = keras.Input((), dtype="int32", name="label")
    words = layers.Embedding(classes, _LABEL_WIDTH, name="class")(label)
    known = layers.Concatenate(name="code_and_class")([code, words])
    return {"code": code, "label": label}, known


def picture_and_label(
    input_shape: Sequence[int], classes: int
) -> tuple[Any, keras.KerasTensor, keras.KerasTensor | None]:
    """Return the inputs of a critic, and each of them; `None` for a label that it has not."""
    image = keras.Input(input_shape, name="image")
    if not classes:
        return image, image, None
    label = keras.Input((), dtype="int32", name="label")
    return {"image": image, "label": label}, image, label


def seen(image: keras.KerasTensor) -> keras.KerasTensor:
    """Bring pictures from 0…1 to -1…1."""
    return layers.Rescaling(2.0, -1.0, name="rescale")(image)


def shown(x: keras.KerasTensor) -> keras.KerasTensor:
    """Bring numbers of any size to pictures in 0…1, in float32 under any dtype policy."""
    x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return layers.Rescaling(0.5, 0.5, dtype="float32", name="image")(x)


def projected(
    features: keras.KerasTensor, label: keras.KerasTensor, classes: int, normalization: str
) -> keras.KerasTensor:
    """Return how much features `(batch, width)` are those of the class `(batch, 1)`.

    The table of classes is a dense layer: Keras' spectral normalization of an embedding brings what
    it gives to the dtype of the labels.
    """
    table = layers.Dense(
        features.shape[-1], use_bias=False, kernel_initializer=normal(), name="class"
    )
    words = judged(table, normalization)(ops.one_hot(label, classes, dtype=features.dtype))
    return ops.sum(words * features, axis=-1, keepdims=True)


def judged(layer: keras.Layer, normalization: str) -> keras.Layer:
    """Return a layer of a critic, whose kernel is normalized by its largest singular value.

    It is Keras' layer: in training the kernel itself is set to the normalized one, and gradients
    are those of the normalized kernel; Miyato et al. keep the kernel, and let gradients pass
    through its singular value.
    """
    if normalization != "spectral":
        return layer
    return layers.SpectralNormalization(layer, name=f"{layer.name}_spectral")


def latent_of(generator: keras.Model) -> int:
    """Return the width of a generator's code."""
    return next(tensor.shape[-1] for tensor in generator.inputs if tensor.name == "code")


def classes_of(generator: keras.Model) -> int:
    """Return the number of classes that a generator can be asked of; 0 for none."""
    return generator.get_layer("class").input_dim if isinstance(generator.input, dict) else 0
