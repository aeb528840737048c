"""Layers whose kernels are rounded as they are where a model runs in int8, and still learn."""

from typing import Any

import keras
from keras import layers, ops

_GREATEST = 127  # of a kernel's integers; -128 is not used, so that 0 is their middle


def rounded(kernel: Any, axes: tuple[int, ...]) -> Any:
    """Return a kernel rounded to the integers -127…127, times a scale for each output channel.

    Args:
        kernel: float tensor.
        axes: of its output channels.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import rounded
        >>> np.asarray(rounded(np.array([[1.27, 127.0], [0.014, 1.4]], "float32"), (1,))).tolist()
        [[1.2699999809265137, 127.0], [0.009999999776482582, 1.0]]
    """
    others = [axis for axis in range(len(kernel.shape)) if axis not in axes]
    greatest = ops.max(ops.abs(kernel), axis=others, keepdims=True)
    scale = ops.where(greatest > 0, greatest, 1) / _GREATEST
    return ops.round(kernel / scale) * scale


class RoundedKernel:
    """What the layers below have in common: see `rounded`.

    The gradient passes as if nothing were rounded.
    """

    name: str
    axes: tuple[int, ...]  # of the kernel's output channels
    kernel: Any
    bias: Any
    activation: Any

    @property
    def rounded_kernel(self) -> Any:
        """The kernel as it is used."""
        return self.kernel + ops.stop_gradient(rounded(self.kernel, self.axes) - self.kernel)

    def _ended(self, x: Any) -> Any:
        """Add the bias, and apply the activation."""
        x = x if self.bias is None else x + self.bias
        return x if self.activation is None else self.activation(x)


@keras.saving.register_keras_serializable(package="zoo")
class RoundedDense(RoundedKernel, layers.Dense):
    """`keras.layers.Dense` with a rounded kernel."""

    axes = (1,)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return `x` times the rounded kernel."""
        return self._ended(ops.matmul(x, self.rounded_kernel))


@keras.saving.register_keras_serializable(package="zoo")
class RoundedConv2D(RoundedKernel, layers.Conv2D):
    """`keras.layers.Conv2D` with a rounded kernel."""

    axes = (3,)

    def call(self, x: Any) -> Any:
        """Convolve with the rounded kernel."""
        return self._ended(self.convolution_op(x, self.rounded_kernel))


@keras.saving.register_keras_serializable(package="zoo")
class RoundedDepthwiseConv2D(RoundedKernel, layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with a rounded kernel."""

    axes = (2, 3)

    def call(self, x: Any) -> Any:
        """Convolve each channel with its rounded kernel."""
        outputs = ops.depthwise_conv(
            x,
            self.rounded_kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self._ended(outputs)


@keras.saving.register_keras_serializable(package="zoo")
class RoundedConv2DTranspose(RoundedKernel, layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` with a rounded kernel."""

    axes = (2,)

    def call(self, x: Any) -> Any:
        """Convolve, transposed, with the rounded kernel."""
        outputs = ops.conv_transpose(
            x,
            self.rounded_kernel,
            strides=list(self.strides),
            output_padding=self.output_padding,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self._ended(outputs)


# A layer -> the same one with a rounded kernel. The first that fits counts.
ROUNDED: dict[type[keras.Layer], type[Any]] = {
    layers.DepthwiseConv2D: RoundedDepthwiseConv2D,
    layers.Conv2DTranspose: RoundedConv2DTranspose,
    layers.Conv2D: RoundedConv2D,
    layers.Dense: RoundedDense,
}


def channel_axes(layer: Any) -> tuple[int, ...]:
    """Return the axes of the output channels of a layer's kernel; none for a layer without one."""
    return next((rounds.axes for kind, rounds in ROUNDED.items() if isinstance(layer, kind)), ())
