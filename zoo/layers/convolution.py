"""The convolutions with batch normalization that most vision models are made of."""

from collections.abc import Sequence
from functools import partial

from keras import KerasTensor, layers

from zoo.layers.batch_normalization import BatchNormalization
from zoo.layers.conv2d import Conv2D


def conv_bn(
    x: KerasTensor,
    filters: int,
    kernel_size: int | Sequence[int],
    strides: int = 1,
    *,
    activation: str | None = "relu",
    padding: str = "same",
    use_bias: bool = False,
    scale: bool = True,
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
        padding: "same", "valid", or "symmetric": see `conv`.
        use_bias: whether the convolution has a bias, which the normalization makes needless.
        scale: whether the normalization has a gamma.
        momentum: of the moving statistics.
        epsilon: of the normalization.
        name: of the last layer; the others carry it as a prefix.
    """
    x = conv(
        x, filters, kernel_size, strides, padding=padding, use_bias=use_bias, name=f"{name}_conv"
    )
    return normalized(x, activation, scale=scale, momentum=momentum, epsilon=epsilon, name=name)


def conv(
    x: KerasTensor,
    filters: int,
    kernel_size: int | Sequence[int],
    strides: int = 1,
    *,
    activation: str | None = None,
    padding: str = "same",
    use_bias: bool = True,
    name: str,
) -> KerasTensor:
    """Convolve with He's initialization; the arguments are `conv_bn`'s.

    "symmetric" padding has half a kernel's zeros on every side, as Caffe and PyTorch have it. Where
    a stride leaves out pixels, "same" puts fewer on the top and on the left.
    """
    if padding == "symmetric" and strides > 1 and isinstance(kernel_size, int) and kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
        padding = "valid"
    return Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same" if padding == "symmetric" else padding,
        activation=activation,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


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
    return normalized(x, activation, momentum=momentum, epsilon=epsilon, name=name)


def normalized(
    x: KerasTensor,
    activation: str | None = "relu",
    *,
    scale: bool = True,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    name: str,
) -> KerasTensor:
    """Normalize and activate; the arguments are `conv_bn`'s."""
    norm = f"{name}_bn" if activation else name
    x = BatchNormalization(momentum=momentum, epsilon=epsilon, scale=scale, name=norm)(x)
    return layers.Activation(activation, name=name)(x) if activation else x


def inverted_residual(
    x: KerasTensor,
    expansion: int,
    filters: int,
    strides: int,
    kernel_size: int,
    *,
    momentum: float = 0.99,
    name: str,
) -> KerasTensor:
    """Expand, convolve each channel by itself, project; add the input where it fits.

    *MobileNetV2: Inverted Residuals and Linear Bottlenecks*, Sandler et al. 2018,
    https://arxiv.org/abs/1801.04381, Figure 4b

    Args:
        x: `(batch, height, width, channels)`.
        expansion: channels inside, as a multiple of those of `x`.
        filters: number of output channels.
        strides: of the convolution in the middle.
        kernel_size: of the same.
        momentum: of the moving statistics.
        name: of the last layer; the others carry it as a prefix.
    """
    y, channels = x, x.shape[-1]
    convolve = partial(conv_bn, momentum=momentum, epsilon=1e-3)
    if expansion > 1:
        y = convolve(y, channels * expansion, 1, activation="relu6", name=f"{name}_expand")
    y = depthwise_bn(y, kernel_size, strides, momentum=momentum, name=f"{name}_depthwise")
    fits = strides == 1 and channels == filters
    y = convolve(y, filters, 1, activation=None, name=f"{name}_project" if fits else name)
    return layers.Add(name=name)([x, y]) if fits else y
