"""A convolution whose kernels learn fast on TensorFlow, in bfloat16 and without a GPU."""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras

# Up to so many pixels of output, and from so many channels on both sides: where the products
# are as fast as matrices can be multiplied, and their views of the input cost little.
MOST_PIXELS, LEAST_CHANNELS = 64, 256


@keras.saving.register_keras_serializable(package="zoo")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, with another way to the gradient of a wide kernel on a small map.

    On a CPU, TensorFlow's gradient of the kernel in bfloat16 takes two to four times as long as the
    convolution itself where the map is small and the channels are many, as in the last stages of a
    network. There, each pixel of the kernel gets its gradient as a product of two matrices: the
    input as this pixel sees it, and what comes from above. Weights, configuration, outputs,
    inference, export, every other backend, precision and size are those of the parent.

    - input: `(batch, height, width, channels)`, any float dtype
    - output: `(batch, height', width', filters)`, in the layer's compute dtype

    Args:
        *args: of `keras.layers.Conv2D`.
        **kwargs: of `keras.layers.Conv2D`.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import Conv2D
        >>> Conv2D(256, 3, padding="same")(np.ones((1, 4, 4, 256), "float32")).shape
        TensorShape([1, 4, 4, 256])
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Convolve `inputs`."""
        if not (training and self.trainable and self._is_wide_and_small(inputs)):
            return super().call(inputs)
        kernel = keras.ops.cast(self.kernel, self.compute_dtype)
        outputs = _with_products(self.strides, self.padding.upper())(inputs, kernel)
        if self.use_bias:
            outputs = keras.ops.add(outputs, self.bias)
        return self.activation(outputs) if self.activation else outputs

    def _is_wide_and_small(self, inputs: Any) -> bool:
        _, height, width, filters = self.compute_output_shape(inputs.shape)
        return (
            keras.backend.backend() == "tensorflow"
            and keras.backend.standardize_dtype(inputs.dtype) == "bfloat16"
            and self.data_format == "channels_last"
            and self.dilation_rate == (1, 1)
            and self.groups == 1
            and self.kernel_size > (1, 1)
            and None not in (height, width)
            and height * width <= MOST_PIXELS
            and min(inputs.shape[-1], filters) >= LEAST_CHANNELS
            and _without_gpu()
        )


@cache
def _without_gpu() -> bool:
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


@cache
def _with_products(strides: tuple[int, int], padding: str) -> Callable[[Any, Any], Any]:
    """Return (inputs, kernel) -> the convolution, whose kernel has its gradient by products."""
    import tensorflow as tf

    settings = {"strides": [1, *strides, 1], "padding": padding}

    def of_kernel(inputs: Any, upstream: Any, shape: Any) -> Any:
        """Return the gradient of a kernel of `shape`."""
        rows, columns, channels, filters = shape
        flat = tf.reshape(upstream, (-1, filters))
        if strides != (1, 1):  # views that leave out pixels are slow to copy, one by one
            patches = tf.image.extract_patches(
                inputs, [1, rows, columns, 1], rates=[1, 1, 1, 1], **settings
            )
            patches = tf.reshape(patches, (-1, rows * columns * channels))
            return tf.reshape(tf.matmul(patches, flat, transpose_a=True), shape)
        if padding == "SAME":
            frame = [((size - 1) // 2, size // 2) for size in (rows, columns)]
            inputs = tf.pad(inputs, [(0, 0), *frame, (0, 0)])
        height, width = upstream.shape[1:3]
        products = []
        for row in range(rows):
            for column in range(columns):
                seen = inputs[:, row : row + height, column : column + width]
                seen = tf.reshape(seen, (-1, channels))
                products.append(tf.matmul(seen, flat, transpose_a=True))
        return tf.reshape(tf.stack(products), shape)

    @tf.custom_gradient
    def convolve(inputs: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            of_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, **settings
            )
            return of_inputs, of_kernel(inputs, upstream, kernel.shape)

        return tf.nn.conv2d(inputs, kernel, **settings), gradient

    return convolve
