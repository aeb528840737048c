"""Batch normalization that trains fast on TensorFlow."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="zoo")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, which takes TensorFlow's fused kernel while it trains.

    *Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift*,
    Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167

    Keras computes the moments of a batch op by op, in float32 also where the activations are
    bfloat16. The fused kernel gives the same outputs, gradients and moving statistics in one pass.
    Weights, configuration, inference, export and every other backend are those of the parent; so
    is a call that the kernel does not know (a mask, another axis, renormalization).

    - input: `(batch, height, width, channels)`, any float dtype
    - output: the same shape, in the layer's compute dtype

    Args:
        **kwargs: of `keras.layers.BatchNormalization`.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import BatchNormalization
        >>> x = np.random.default_rng(0).normal(5, 3, (64, 8, 8, 2)).astype("float32")
        >>> bool(abs(np.asarray(BatchNormalization()(x, training=True)).mean()) < 1e-5)
        True
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize `inputs`: by their own moments in training, else by the moving statistics."""
        if training and self.trainable and mask is None and self._has_fused_kernel(inputs):
            return self._fused(inputs)
        return super().call(inputs, training=training, mask=mask)

    def _has_fused_kernel(self, inputs: Any) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not self.renorm
            and not self.synchronized
            and self.epsilon > 0
            and keras.backend.standardize_dtype(inputs.dtype) in {"float32", "bfloat16", "float16"}
        )

    def _fused(self, inputs: Any) -> Any:
        import tensorflow as tf

        channels = self.moving_mean.shape
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels),
            offset=tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel returns the unbiased variance; Keras keeps the batch's own.
        count = tf.cast(tf.size(inputs) // channels[0], "float32")
        variance *= (count - 1) / count
        for moving, of_batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + of_batch * (1 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)
