"""Where in a picture the reasons for an answer lie: saliency, Grad-CAM, occlusion."""

import keras
import numpy as np
import tensorflow as tf

from recipes.interpretation.networks import (
    answering,
    map_layer,
    picture_of,
    scores_of,
    target_of,
    to_one,
)
from zoo.errors import InputError


def saliency(model: keras.Model, image: np.ndarray, target: int | None = None) -> np.ndarray:
    """Return how strongly each pixel of a picture moves the score of an answer.

    It is the absolute gradient of the score by the grey levels, the largest over the channels.

    Args:
        model: functional `keras.Model` from one picture to `(batch, answers)`.
        image: uint8 `(height, width, channels)`, as the model takes it.
        target: number of the answer; default `None`: the one that the model gives.

    Returns:
        float32 `(height, width)` in 0…1; all 0 where no pixel moves the score.

    Raises:
        InputError: a model without pictures or answers, a wrong picture, a wrong target.

    References:
        *Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency
        Maps*, Simonyan, Vedaldi & Zisserman 2013, https://arxiv.org/abs/1312.6034, section 3.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.interpretation import saliency
        >>> digit = np.zeros((28, 28, 1), "uint8")
        >>> saliency(zoo.load("lenet5-mnist"), digit, target=3).shape
        (28, 28)
    """
    picture = tf.cast(picture_of(model, image), tf.float32)
    network = scores_of(model)
    with tf.GradientTape() as tape:
        tape.watch(picture)
        scores = network(picture, training=False)
        score = scores[0, target_of(model, target, scores[0])]
    gradient = np.abs(np.asarray(tape.gradient(score, picture)[0]))
    return to_one(gradient.max(axis=-1))


def grad_cam(
    model: keras.Model, image: np.ndarray, target: int | None = None, layer: str | None = None
) -> np.ndarray:
    """Return where in a picture the maps of a layer speak for an answer.

    The maps are added up, each with the mean gradient of the score by it as its weight; what
    speaks against the answer is cut off at 0, and the sum is brought to the picture's size.

    Args:
        model: functional `keras.Model` from one picture to `(batch, answers)`.
        image: uint8 `(height, width, channels)`, as the model takes it.
        target: number of the answer; default `None`: the one that the model gives.
        layer: one of `spatial_layers`; default `None`: the last of them. In a vision transformer
            that is the embedding of the patches, before any attention, and so it says little.

    Returns:
        float32 `(height, width)` of the picture, in 0…1; all 0 where nothing speaks for the answer.

    Raises:
        InputError: a model without pictures, answers or convolutions; a wrong picture, target or
            layer.

    References:
        *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*,
        Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391, section 3.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.interpretation import grad_cam
        >>> digit = np.zeros((28, 28, 1), "uint8")
        >>> grad_cam(zoo.load("lenet5-mnist"), digit, target=3).shape
        (28, 28)
    """
    picture = tf.cast(picture_of(model, image), tf.float32)
    network = scores_of(model, map_layer(model, layer))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        maps, scores = network(picture, training=False)
        score = scores[0, target_of(model, target, scores[0])]
    weights = tf.reduce_mean(tf.cast(tape.gradient(score, maps), tf.float32), axis=(1, 2))
    spoken = tf.nn.relu(tf.einsum("bhwc,bc->bhw", tf.cast(maps, tf.float32), weights))
    large = tf.image.resize(spoken[..., None], picture.shape[1:3])
    return to_one(np.asarray(large[0, ..., 0]))


def occlusion(
    model: keras.Model,
    image: np.ndarray,
    target: int | None = None,
    size: int | None = None,
    stride: int | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Return how much of an answer's probability is lost where a grey patch hides the picture.

    The patch has the mean grey level of the picture. Each pixel gets the mean loss over the
    patches that hide it.

    Args:
        model: functional `keras.Model` from one picture to `(batch, answers)`.
        image: uint8 `(height, width, channels)`, as the model takes it.
        target: number of the answer; default `None`: the one that the model gives.
        size: side of the square patch, in pixels; default a quarter of the shorter side.
        stride: pixels between two patches, at most `size`; default a quarter of `size`.
        batch_size: pictures in one step of the model.

    Returns:
        float32 `(height, width)` in units of the model's answer: of a probability, −1…1.

    Raises:
        InputError: a model without pictures or answers, a wrong picture or target, or a patch that
            does not fit.

    References:
        *Visualizing and Understanding Convolutional Networks*, Zeiler & Fergus 2013,
        https://arxiv.org/abs/1311.2901, section 4.2.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.interpretation import occlusion
        >>> digit = np.zeros((28, 28, 1), "uint8")
        >>> lost = occlusion(zoo.load("lenet5-mnist"), digit, target=3)
        >>> lost.shape, bool(lost.max() < 1e-6)  # grey hides nothing of an empty picture
        ((28, 28), True)
    """
    picture = picture_of(model, image)[0]
    height, width = picture.shape[:2]
    size = max(1, min(height, width) // 4) if size is None else size
    stride = max(1, size // 4) if stride is None else stride
    if not 1 <= size <= min(height, width):
        raise InputError(f"a patch of {size} does not fit into a picture of {height}×{width}.")
    if not 1 <= stride <= size:
        raise InputError(f"stride must be between 1 and the patch's size {size}, not {stride}.")
    if batch_size < 1:
        raise InputError(f"batch_size must be above 0, not {batch_size}.")
    corners = np.array([(y, x) for y in _places(height, size, stride) for x in
                        _places(width, size, stride)])  # fmt: skip
    grey = np.asarray(round(float(image.mean())), "uint8")

    def hide(corner: tf.Tensor) -> tf.Tensor:
        rows, columns = (
            tf.range(n, dtype=tf.int64) - corner[i] for i, n in ((0, height), (1, width))
        )
        inside = [(n >= 0) & (n < size) for n in (rows, columns)]
        return tf.where((inside[0][:, None] & inside[1])[..., None], grey, picture)

    answers_of = answering(model)
    whole = answers_of.predict(np.asarray(picture)[None], verbose=0)[0]
    number = target_of(model, target, whole)
    hidden = tf.data.Dataset.from_tensor_slices(corners).map(hide).batch(batch_size)
    lost = whole[number] - answers_of.predict(hidden, verbose=0)[:, number]
    # Each patch adds its loss to a rectangle: four corners, summed up over rows and columns.
    total, count = np.zeros((2, height + 1, width + 1))
    for dy, dx, sign in ((0, 0, 1), (0, size, -1), (size, 0, -1), (size, size, 1)):
        at = (corners[:, 0] + dy, corners[:, 1] + dx)
        np.add.at(total, at, sign * lost.astype("float64"))
        np.add.at(count, at, sign)
    total, count = (a.cumsum(0).cumsum(1)[:height, :width] for a in (total, count))
    return (total / count).astype("float32")


def _places(length: int, size: int, stride: int) -> list[int]:
    """Return where patches begin, the last one at the very end."""
    return [*range(0, length - size, stride), length - size]
