"""Looking inside a model of pictures: what its filters are, and what in a picture it answers to.

Section 6.4 of the book. Every function takes a `keras.Model` as the zoo builds them (raw uint8
pictures in, preprocessing inside), leaves it as it is, and returns NumPy arrays.

Scores are what stands before the model's softmax or sigmoid: a saturated probability has no
gradient left to look at.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import surgery
from zoo.errors import InputError
from zoo.registry import unknown

_GREY = 127.5
_SQUASHING = ("softmax", "sigmoid")


def first_layer_filters(model: keras.Model) -> np.ndarray:
    """Return the kernels of a model's first convolution, as pictures.

    Each filter is scaled on its own, by its largest weight: a weight of zero becomes 0.5, the
    largest becomes 0 if it is negative and 1 if it is positive.

    Args:
        model: functional `keras.Model` with a `keras.layers.Conv2D`.

    Returns:
        float32 `(filters, kernel height, kernel width, channels)` in 0…1.

    Raises:
        InputError: the model has no convolution.

    References:
        *Visualizing and Understanding Convolutional Networks*, Zeiler & Fergus 2013,
        https://arxiv.org/abs/1311.2901, figure 6.

    Example:
        >>> import zoo
        >>> from recipes.interpretation import first_layer_filters
        >>> first_layer_filters(zoo.load("lenet5-mnist")).shape
        (6, 5, 5, 1)
    """
    for layer in surgery.functional(model)._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.Conv2D):
            kernels = np.moveaxis(np.asarray(layer.kernel, "float32"), -1, 0)
            largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
            return 0.5 + kernels / np.maximum(2 * largest, np.finfo("float32").tiny)
    raise InputError(f"{model.name!r} has no convolution whose filters could be shown.")


def spatial_layers(model: keras.Model) -> list[str]:
    """Return the names of the layers that give maps, `(height, width, channels)`, in their order.

    The first of them is the first convolution: what comes before it is the picture itself.

    Args:
        model: functional `keras.Model`.

    Example:
        >>> import zoo
        >>> from recipes.interpretation import spatial_layers
        >>> spatial_layers(zoo.build("convnet"))
        ['conv1', 'stage1', 'conv2', 'stage2']
    """
    layers = surgery.functional(model).layers
    convolutions = [i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Conv2D)]
    after = layers[convolutions[0] :] if convolutions else []
    return [layer.name for layer in after if _is_spatial(layer)]


def activation_maps(model: keras.Model, image: np.ndarray, stage: str) -> np.ndarray:
    """Return what a stage of a model makes of a picture.

    Args:
        model: functional `keras.Model` of pictures.
        image: uint8 `(height, width, channels)`, as the model takes it.
        stage: name of a stage, such as "stage1", or of any layer of `spatial_layers`.

    Returns:
        float32 `(height, width, channels)` of the stage.

    Raises:
        InputError: no such stage, one without maps, or a wrong picture.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.interpretation import activation_maps
        >>> digit = np.zeros((28, 28, 1), "uint8")
        >>> activation_maps(zoo.load("lenet5-mnist"), digit, "stage1").shape
        (14, 14, 6)
    """
    picture = _picture(model, image)
    layer = _map_layer(model, stage)
    network = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(network(picture, training=False)[0], "float32")


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
    picture = tf.cast(_picture(model, image), tf.float32)
    network = _scores(model)
    with tf.GradientTape() as tape:
        tape.watch(picture)
        scores = network(picture, training=False)
        score = scores[0, _target(model, target, scores[0])]
    gradient = np.abs(np.asarray(tape.gradient(score, picture)[0]))
    return _to_one(gradient.max(axis=-1))


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
    picture = tf.cast(_picture(model, image), tf.float32)
    network = _scores(model, _map_layer(model, layer))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        maps, scores = network(picture, training=False)
        score = scores[0, _target(model, target, scores[0])]
    weights = tf.reduce_mean(tf.cast(tape.gradient(score, maps), tf.float32), axis=(1, 2))
    spoken = tf.nn.relu(tf.einsum("bhwc,bc->bhw", tf.cast(maps, tf.float32), weights))
    large = tf.image.resize(spoken[..., None], picture.shape[1:3])
    return _to_one(np.asarray(large[0, ..., 0]))


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
        >>> lost.shape, float(lost.max())  # grey hides nothing of an empty picture
        ((28, 28), 0.0)
    """
    picture = _picture(model, image)[0]
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

    answers_of = _answers(model)
    whole = answers_of.predict(np.asarray(picture)[None], verbose=0)[0]
    number = _target(model, target, whole)
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
    shape = _picture_shape(model)
    if None in shape:
        raise InputError(
            f"{model.name!r} takes pictures of any size: there is no size to make one."
        )
    network = _scores(model)
    target = _target(model, target, np.zeros(model.output_shape[-1]))
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


def _places(length: int, size: int, stride: int) -> list[int]:
    """Return where patches begin, the last one at the very end."""
    return [*range(0, length - size, stride), length - size]


def _to_one(values: np.ndarray) -> np.ndarray:
    return (values / (values.max() or 1)).astype("float32")


def _is_spatial(layer: keras.Layer) -> bool:
    shape: tuple[Any, ...] = getattr(layer.output, "shape", ())  # it may have several outputs
    return len(shape) == 4 and (None in shape[1:3] or shape[1] * shape[2] > 1)


def _map_layer(model: keras.Model, name: str | None) -> str:
    """Return the name of a layer with maps; `None` for the last one."""
    spatial = spatial_layers(model)
    if not spatial:
        raise InputError(f"{model.name!r} has no convolution, and so no maps to look at.")
    if name is None:
        return spatial[-1]
    if name not in spatial:
        if name in {layer.name for layer in model.layers}:
            raise InputError(f"the layer {name!r} of {model.name!r} gives no maps.")
        raise unknown(name, spatial, f"layer with maps in {model.name!r}")
    return name


def _picture_shape(model: keras.Model) -> tuple[Any, ...]:
    """Return `(height, width, channels)` of what a model takes."""
    inputs = surgery.functional(model).inputs
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise InputError(f"{model.name!r} does not take one picture, and cannot be looked into so.")
    return tuple(inputs[0].shape[1:])


def _picture(model: keras.Model, image: np.ndarray) -> tf.Tensor:
    """Return a picture as a batch of one, uint8."""
    shape = _picture_shape(model)
    given: tuple[int, ...] = np.shape(image)
    fits = len(given) == 3 and all(n in (None, m) for n, m in zip(shape, given, strict=True))
    kind = np.asarray(image).dtype
    if kind != np.uint8 or not fits:
        raise InputError(
            f"{model.name!r} takes a uint8 picture of shape {shape}, not {kind} of {given}."
        )
    return tf.constant(image[None])


def _answers(model: keras.Model) -> keras.Model:
    """Return the model as a functional one, if it gives a row of answers."""
    _picture_shape(model)
    model = surgery.functional(model)
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        raise InputError(f"{model.name!r} answers with no classes or values to explain.")
    return model


def _target(model: keras.Model, target: int | None, scores: Any) -> int:
    """Return the number of an answer; `None` for the highest."""
    if target is None:
        return int(np.argmax(scores))
    if isinstance(target, bool) or not isinstance(target, int | np.integer):
        raise InputError(f"target must be the number of an answer, not {target!r}.")
    if not 0 <= target < len(scores):
        raise InputError(
            f"there is no answer {target}: those of {model.name!r} are 0 to {len(scores) - 1}."
        )
    return int(target)


def _scores(model: keras.Model, layer: str | None = None) -> keras.Model:
    """Return a copy from float pictures, which have gradients, to the scores.

    Args:
        model: from one picture to `(batch, answers)`.
        layer: name of a layer; the copy then gives its output too, before the scores.
    """
    model = _answers(model)
    last = model.layers[-1]

    def unsquashed(part: keras.Layer) -> keras.Layer:
        config = part.get_config()
        if part is last and config.get("activation") in _SQUASHING:
            config["activation"] = "linear"
        return part.__class__.from_config(config)

    inputs = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype="float32", name=x.name), model.input
    )
    network = surgery.copy(model, clone_function=unsquashed, input_tensors=inputs)
    ends_in_softmax = isinstance(last, keras.layers.Softmax)
    scores = network.layers[-1].input if ends_in_softmax else network.output
    if layer is None:
        return keras.Model(network.input, scores)
    return keras.Model(network.input, [network.get_layer(layer).output, scores])
