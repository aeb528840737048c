"""Adam and AdamW whose update is one pass over the memory, where TensorFlow computes."""

from typing import Any

import keras
import tensorflow as tf


class _OnePass:
    """Mixin of Keras' Adam: the same update of a variable as one op of TensorFlow's.

    Keras writes it with ops that each read and write whole tensors. Sparse gradients, the variant
    with a greatest velocity, and distributed variables go Keras' way.
    """

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update a variable and its two moments."""
        single = keras.backend.backend() == "tensorflow" and not tf.distribute.has_strategy()
        if self.amsgrad or not single or not isinstance(gradient, tf.Tensor):
            super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]
            return
        number = self._get_variable_index(variable)
        moments = (self._momentums[number], self._velocities[number])
        kind = variable.dtype
        step = tf.cast(self.iterations.value + 1, kind)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(moments[0]),
            v=_handle(moments[1]),
            beta1_power=tf.pow(tf.cast(self.beta_1, kind), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, kind), step),
            lr=tf.cast(learning_rate, kind),
            beta1=tf.cast(self.beta_1, kind),
            beta2=tf.cast(self.beta_2, kind),
            epsilon=tf.cast(self.epsilon, kind),
            grad=tf.cast(gradient, kind),
        )


def _handle(variable: Any) -> tf.Tensor:
    """Return where TensorFlow has a variable, which may be Keras' or its own."""
    return (variable if isinstance(variable, tf.Variable) else variable.value).handle


class Adam(_OnePass, keras.optimizers.Adam):
    """Keras' Adam in one pass.

    *Adam: A Method for Stochastic Optimization*, Kingma & Ba 2015, https://arxiv.org/abs/1412.6980

    Example:
        >>> import keras
        >>> from recipes.adam import Adam
        >>> weight = keras.Variable([1.0])
        >>> Adam(0.5).apply([keras.ops.convert_to_tensor([2.0])], [weight])
        >>> round(float(weight[0]), 4)
        0.5
    """


class AdamW(_OnePass, keras.optimizers.AdamW):
    """Keras' AdamW in one pass.

    *Decoupled Weight Decay Regularization*, Loshchilov & Hutter 2019,
    https://arxiv.org/abs/1711.05101
    """
