"""The convolutions with batch normalization that most vision models are made of."""

from collections.abc import Sequence

from keras import KerasTensor, layers

from zoo.layers.batch_normalization import BatchNormalization


def conv_bn(
    x: KerasTensor,
    filters: int,
    kernel_size: int | Sequence[int],
    strides: int = 1,
    *,
    activation: str | None = "relu",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    name: str,
) -> KerasTensor:
    """Convolve, normalize and activate.

    Args:
        x: `(batch, height, width, channels)`.
        filters: number of output channels.
        kernel_size: side or sides of the kernel.
        strides: in both directions.
        activation: Keras name of the activation, or `None` for none.
        momentum: of the moving statistics.
        epsilon: of the normalization.
        name: of the last layer; the others carry it as a prefix.
    """
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return _normalized(x, activation, momentum, epsilon, name=name)


def depthwise_bn(
    x: KerasTensor,
    kernel_size: int,
    strides: int = 1,
    *,
    activation: str | None = "relu6",
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    name: str,
) -> KerasTensor:
    """Convolve each channel by itself, normalize and activate; the arguments are `conv_bn`'s."""
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return _normalized(x, activation, momentum, epsilon, name=name)


def _normalized(
    x: KerasTensor, activation: str | None, momentum: float, epsilon: float, *, name: str
) -> KerasTensor:
    """Normalize and activate."""
    norm = f"{name}_bn" if activation else name
    x = BatchNormalization(momentum=momentum, epsilon=epsilon, name=norm)(x)
    return layers.Activation(activation, name=name)(x) if activation else x
