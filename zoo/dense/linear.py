"""Linear, logistic and softmax regression.

*Gauss and the invention of least squares*, Stigler 1981, https://doi.org/10.1214/aos/1176345451
*The regression analysis of binary sequences*, Cox 1958,
https://doi.org/10.1111/j.2517-6161.1958.tb00292.x
*Probabilistic interpretation of feedforward classification network outputs*, Bridle 1990,
https://doi.org/10.1007/978-3-642-76153-9_28

Deviation: logistic regression gives both classes' probabilities, as a softmax over (0, logit),
which is the logistic function; so every classifier of the zoo answers in the same form.
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from zoo.layers import predictions, raw_input
from zoo.spaces import Space

# Nothing of these three is open: what there is to search is how they learn.
SPACES: dict[str, Space] = {"linear": {}, "logistic": {}, "softmax": {}}


def linear(
    input_shape: Sequence[int] = (10,), outputs: int = 1, name: str = "linear"
) -> keras.Model:
    """Build a linear regression.

    Args:
        input_shape: `(features,)` in physical units, or `(height, width, channels)` in uint8.
        outputs: number of targets.
        name: name of the model.

    Returns:
        `keras.Model` from the inputs to `(batch, outputs)` in units of the target.

    Example:
        >>> import zoo
        >>> zoo.build("linear", input_shape=(4,)).output_shape
        (None, 1)
    """
    inputs, x = raw_input(input_shape)
    return keras.Model(inputs, predictions(_flat(x), outputs, None), name=name)


def logistic(input_shape: Sequence[int] = (30,), name: str = "logistic") -> keras.Model:
    """Build a logistic regression between two classes.

    Args:
        input_shape: `(features,)` in physical units, or `(height, width, channels)` in uint8.
        name: name of the model.

    Returns:
        `keras.Model` from the inputs to the probabilities `(batch, 2)`.

    Example:
        >>> import zoo
        >>> zoo.build("logistic").output_shape
        (None, 2)
    """
    inputs, x = raw_input(input_shape)
    logit = layers.Dense(1, dtype="float32", name="logit")(_flat(x))
    logits = ops.pad(logit, [[0, 0], [1, 0]])  # (batch, 2): the first class's logit is 0
    outputs = layers.Softmax(dtype="float32", name="predictions")(logits)
    return keras.Model(inputs, outputs, name=name)


def softmax(
    input_shape: Sequence[int] = (28, 28, 1), classes: int = 10, name: str = "softmax"
) -> keras.Model:
    """Build a softmax (multinomial logistic) regression.

    Args:
        input_shape: `(height, width, channels)` in uint8, or `(features,)` in physical units.
        classes: number of classes.
        name: name of the model.

    Returns:
        `keras.Model` from the inputs to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("softmax").count_params()
        7850
    """
    inputs, x = raw_input(input_shape)
    return keras.Model(inputs, predictions(_flat(x), classes), name=name)


def _flat(x: keras.KerasTensor) -> keras.KerasTensor:
    return x if len(x.shape) == 2 else layers.Flatten(name="flatten")(x)
