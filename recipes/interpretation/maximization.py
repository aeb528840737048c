"""A picture that a model answers with a class, made from noise."""

import keras
import numpy as np
import tensorflow as tf

from recipes.interpretation.networks import picture_shape, scores_of, target_of
from zoo.errors import InputError

_GREY = 127.5


def activation_maximization(
    model: keras.Model,
    target: int,
    steps: int = 200,
    *,
    rate: float = 4.0,
    decay: float = 0.01,
    jitter: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return a picture that a model answers with a class, made from noise by gradient ascent.

    Each step follows the gradient of the class's score, slightly blurred and of unit size; pulls
    the picture towards grey; and moves it at random by some pixels, so that no pixel counts alone.

    Args:
        model: functional `keras.Model` from one picture to `(batch, answers)`.
        target: number of the answer.
        steps: number of steps.
        rate: length of a step in grey levels, root mean square over the pixels.
        decay: share of the distance to grey that is lost in each step; between 0 and 1.
        jitter: largest random shift in pixels; default one for every 16 pixels of the shorter side.
        seed: of the noise and the shifts.

    Returns:
        uint8 `(height, width, channels)`.

    Raises:
        InputError: a model without pictures or answers, or for pictures of any size; a wrong
            target or setting.

    References:
        *Deep Inside Convolutional Networks*, Simonyan, Vedaldi & Zisserman 2013,
        https://arxiv.org/abs/1312.6034, section 2; the regularization follows *Understanding Neural
        Networks Through Deep Visualization*, Yosinski et al. 2015, https://arxiv.org/abs/1506.06579.

    Example:
        >>> import zoo
        >>> from recipes.interpretation import activation_maximization
        >>> model = zoo.load("lenet5-mnist")
        >>> seven = activation_maximization(model, 7)
        >>> int(model(seven[None])[0].numpy().argmax())
        7
    """
    shape = picture_shape(model)
    if None in shape:
        raise InputError(
            f"{model.name!r} takes pictures of any size: there is no size to make one."
        )
    network = scores_of(model)
    target = target_of(model, target, np.zeros(model.output_shape[-1]))
    jitter = min(shape[:2]) // 16 if jitter is None else jitter
    if steps < 1 or rate <= 0 or not 0 <= decay <= 1 or jitter < 0:
        raise InputError(
            "steps and rate must be above 0, decay between 0 and 1, and jitter not negative."
        )

    def ascend(picture: tf.Tensor) -> tf.Tensor:
        for step in tf.range(steps):
            shift = tf.random.stateless_uniform(
                (2,), (seed, step), -jitter, jitter + 1, dtype=tf.int32
            )
            with tf.GradientTape() as tape:
                tape.watch(picture)
                score = network(tf.roll(picture, shift, (1, 2)), training=False)[0, target]
            gradient = _blurred(tape.gradient(score, picture))
            gradient /= tf.sqrt(tf.reduce_mean(tf.square(gradient))) + 1e-12
            picture = _GREY + (1 - decay) * (picture + rate * gradient - _GREY)
            picture = tf.clip_by_value(picture, 0, 255)
        return picture

    noise = tf.random.stateless_normal((1, *shape), (seed, steps), _GREY, 8.0)
    compiled = tf.function(ascend).get_concrete_function(noise)
    return np.asarray(tf.cast(tf.round(compiled(noise))[0], tf.uint8))


def _blurred(pictures: tf.Tensor) -> tf.Tensor:
    """Blur pictures by the binomial kernel 1 2 1 in both directions."""
    line = tf.constant([1.0, 2.0, 1.0]) / 4
    kernel = tf.tile((line[:, None] * line)[..., None, None], (1, 1, pictures.shape[-1], 1))
    return tf.nn.depthwise_conv2d(pictures, kernel, (1, 1, 1, 1), "SAME")
