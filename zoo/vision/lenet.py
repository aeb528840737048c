"""LeNet-5, as of 1998 and as it is built today.

*Gradient-based learning applied to document recognition*, LeCun, Bottou, Bengio & Haffner 1998,
https://doi.org/10.1109/5.726791

`lenet5_1998` follows the paper: a 32×32 field with background −0.1 and foreground 1.175, trainable
subsampling, C3 connected as in the paper's Table I, the squashing 1.7159 tanh(2x/3), and Euclidean
radial basis outputs against fixed 7×12 drawings of the digits. Its deviations: the drawings are our
own, since the paper shows its own only as a figure; the distances end in a softmax, which is the
paper's maximum-a-posteriori criterion without its rubbish class.

`lenet5` is what later became common: C3 fully connected, max pooling, ReLU, a softmax head. Its
deviation from the paper beyond that: "same" padding of the 28×28 image in place of the 32×32 field.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from zoo.layers import activated, predictions, raw_input
from zoo.spaces import Choice, Space

# Table I of the paper: which of S2's six maps each of C3's sixteen maps sees.
C3_CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# The ten digits as 12 rows of 7 points; each row is a number whose binary digits are the points.
DIGITS = (
    (0x00, 0x1C, 0x36, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x36, 0x1C, 0x00),
    (0x00, 0x0C, 0x1C, 0x3C, 0x0C, 0x0C, 0x0C, 0x0C, 0x0C, 0x0C, 0x3F, 0x00),
    (0x00, 0x3E, 0x63, 0x03, 0x03, 0x06, 0x0C, 0x18, 0x30, 0x60, 0x7F, 0x00),
    (0x00, 0x7F, 0x03, 0x06, 0x0C, 0x1E, 0x03, 0x03, 0x03, 0x63, 0x3E, 0x00),
    (0x00, 0x06, 0x0E, 0x1E, 0x36, 0x66, 0x66, 0x7F, 0x06, 0x06, 0x06, 0x00),
    (0x00, 0x7F, 0x60, 0x60, 0x7E, 0x63, 0x03, 0x03, 0x03, 0x63, 0x3E, 0x00),
    (0x00, 0x1E, 0x30, 0x60, 0x60, 0x7E, 0x63, 0x63, 0x63, 0x63, 0x3E, 0x00),
    (0x00, 0x7F, 0x03, 0x03, 0x06, 0x06, 0x0C, 0x0C, 0x18, 0x18, 0x18, 0x00),
    (0x00, 0x3E, 0x63, 0x63, 0x63, 0x3E, 0x63, 0x63, 0x63, 0x63, 0x3E, 0x00),
    (0x00, 0x3E, 0x63, 0x63, 0x63, 0x63, 0x3F, 0x03, 0x03, 0x06, 0x3C, 0x00),
)


SPACES: dict[str, Space] = {
    "lenet5": {"activation": Choice(("relu", "tanh", "gelu"))},
    "lenet5_1998": {},  # its sizes are the paper's
}


def lenet5(
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    activation: str = "relu",
    include_top: bool = True,
    name: str = "lenet5",
) -> keras.Model:
    """Build the LeNet-5 of today.

    Args:
        input_shape: `(height, width, channels)`, uint8, at least 12×12.
        classes: number of classes.
        activation: Keras name of the activation, or "prelu".
        include_top: `False` ends the model with the 84 features.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("lenet5").count_params()
        61706
    """
    inputs, x = raw_input(input_shape)
    x = layers.Conv2D(6, 5, padding="same", name="c1")(x)  # (batch, 28, 28, 6)
    x = activated(x, activation, name="c1_activation")
    x = layers.MaxPooling2D(name="stage1")(x)  # (batch, 14, 14, 6)
    x = layers.Conv2D(16, 5, name="c3")(x)  # (batch, 10, 10, 16)
    x = activated(x, activation, name="c3_activation")
    x = layers.MaxPooling2D(name="stage2")(x)  # (batch, 5, 5, 16)
    x = layers.Flatten(name="flatten")(x)
    x = activated(layers.Dense(120, name="c5")(x), activation, name="c5_activation")
    x = activated(layers.Dense(84, name="f6")(x), activation, name="f6_activation")
    if include_top:
        x = predictions(x, classes)
    return keras.Model(inputs, x, name=name)


def lenet5_1998(
    input_shape: Sequence[int] = (28, 28, 1), include_top: bool = True, name: str = "lenet5_1998"
) -> keras.Model:
    """Build the LeNet-5 of the paper, for the ten digits.

    Args:
        input_shape: `(height, width, 1)`, uint8, at most 32×32; white on black.
        include_top: `False` ends the model with the 84 features of F6.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, 10)`.

    Raises:
        ValueError: the image does not fit the 32×32 field.

    Example:
        >>> import zoo
        >>> zoo.build("lenet5_1998").count_params()
        60000
    """
    height, width, _ = input_shape
    if max(height, width) > 32:
        raise ValueError(f"input_shape must fit into 32×32, not {height}×{width}.")
    inputs, x = raw_input(input_shape)
    x = layers.ZeroPadding2D(
        (((32 - height) // 2, (33 - height) // 2), ((32 - width) // 2, (33 - width) // 2)),
        name="field",
    )(x)
    x = layers.Rescaling(1.275, offset=-0.1, name="contrast")(x)
    x = layers.Conv2D(6, 5, activation=squash, name="c1")(x)  # (batch, 28, 28, 6)
    x = Subsampling(name="stage1")(x)  # (batch, 14, 14, 6)
    x = PartialConvolution(C3_CONNECTIONS, 5, activation=squash, name="c3")(
        x
    )  # (batch, 10, 10, 16)
    x = Subsampling(name="stage2")(x)  # (batch, 5, 5, 16)
    x = layers.Conv2D(120, 5, activation=squash, name="c5")(x)  # (batch, 1, 1, 120)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(84, activation=squash, name="f6")(x)
    if include_top:
        x = DigitDistances(dtype="float32", name="rbf")(x)
        x = layers.Softmax(dtype="float32", name="predictions")(-x)
    return keras.Model(inputs, x, name=name)


@keras.saving.register_keras_serializable(package="zoo")
def squash(x: Any) -> Any:
    """Apply the paper's squashing function, 1.7159 tanh(2x/3)."""
    return 1.7159 * ops.tanh(x * (2 / 3))


@keras.saving.register_keras_serializable(package="zoo")
class Subsampling(layers.Layer):
    """Averages 2×2 points, times a trainable coefficient, plus a bias, per map; then squashes.

    - input: `(batch, height, width, channels)`
    - output: `(batch, height // 2, width // 2, channels)`
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create a coefficient and a bias for each map."""
        shape = (input_shape[-1],)
        self.coefficient = self.add_weight(shape=shape, initializer="ones", name="coefficient")
        self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        """Subsample `x`."""
        # The mean in place of the sum keeps the coefficient at the order of the other weights.
        return squash(ops.average_pool(x, 2, 2) * self.coefficient + self.bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape with height and width halved."""
        batch, height, width, channels = input_shape
        return batch, height and height // 2, width and width // 2, channels


@keras.saving.register_keras_serializable(package="zoo")
class PartialConvolution(layers.Layer):
    """A convolution in which each output map sees some of the input maps.

    Only the connected kernels are weights; they are laid into a full kernel, with zeros elsewhere,
    when the layer is called, so that every backend and converter sees an ordinary convolution.

    - input: `(batch, height, width, channels)`
    - output: `(batch, height - kernel_size + 1, width - kernel_size + 1, len(connections))`

    Args:
        connections: for each output map, the input maps that it sees.
        kernel_size: side of the square kernel.
        activation: any Keras activation.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        connections: Sequence[Sequence[int]],
        kernel_size: int,
        activation: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.connections = tuple(map(tuple, connections))
        self.kernel_size = kernel_size
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the connected kernels."""
        channels = int(input_shape[-1] or 0)
        filters = len(self.connections)
        pairs = [(i, o) for o, seen in enumerate(self.connections) for i in seen]
        # LeCun's initialization: deviation by the number of inputs of each unit.
        deviation = 1 / math.sqrt(self.kernel_size**2 * len(pairs) / filters)
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, len(pairs)),
            initializer=keras.initializers.TruncatedNormal(stddev=deviation),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(filters,), initializer="zeros", name="bias")
        self._layout = np.zeros((len(pairs), channels * filters), "float32")
        for row, (i, o) in enumerate(pairs):
            self._layout[row, i * filters + o] = 1

    def call(self, x: Any) -> Any:
        """Convolve `x`."""
        kernel = ops.matmul(self.kernel, ops.cast(self._layout, self.kernel.dtype))
        shape = (self.kernel_size, self.kernel_size, -1, len(self.connections))
        kernel = ops.cast(ops.reshape(kernel, shape), x.dtype)
        return self.activation(ops.conv(x, kernel, padding="valid") + self.bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of a "valid" convolution."""
        batch, *sides, _ = input_shape
        sides = [side and side - self.kernel_size + 1 for side in sides]
        return batch, *sides, len(self.connections)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "connections": self.connections,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="zoo")
class DigitDistances(layers.Layer):
    """Squared Euclidean distances to the drawings of the ten digits, which are fixed: no weights.

    - input: `(batch, 84)`
    - output: `(batch, 10)`
    """

    def call(self, x: Any) -> Any:
        """Measure the distances of `x`."""
        codes = ops.convert_to_tensor(digit_codes(), dtype=x.dtype)
        return ops.sum(ops.square(ops.expand_dims(x, 1) - codes), axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `(batch, 10)`."""
        return input_shape[0], len(DIGITS)


def digit_codes() -> np.ndarray:
    """Return the drawings as an array `(10, 84)` of −1 and +1, row by row."""
    rows = np.array(DIGITS, "uint8")[..., None]  # (10, 12, 1)
    return np.unpackbits(rows, axis=-1)[..., 1:].reshape(10, 84) * 2.0 - 1.0
