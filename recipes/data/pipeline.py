"""Batches as `tf.data`: every one a pure function of the seed, the epoch and its place."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data import augmentation
from recipes.data.augmentation import AUGMENTATIONS, INPUT_ONLY
from recipes.data.sampling import balanced_order, epoch_size
from recipes.data.splits import Examples
from zoo.errors import InputError


def batches(examples: Examples, batch_size: int, task: str, classes: int = 0) -> tf.data.Dataset:
    """Return the examples in their order, once.

    Args:
        examples: inputs and targets.
        batch_size: the last batch may be smaller.
        task: decides the targets: one-hot float32 `(batch, classes)` for "classification", values
            `(batch, outputs)` for "regression", the images in 0…1 for "reconstruction".
        classes: number of classes.
    """
    order = tf.data.Dataset.range(len(examples)).batch(batch_size)
    return (
        order.map(_gather(examples, task, classes), num_parallel_calls=tf.data.AUTOTUNE)
        .map(_targets(task))
        .prefetch(tf.data.AUTOTUNE)
    )


def training_batches(
    examples: Examples,
    batch_size: int,
    task: str,
    classes: int = 0,
    *,
    epochs: range,
    seed: int,
    augment: Mapping[str, float] | None = None,
    class_weights: Sequence[float] | None = None,
    sampling: str = "",
) -> tf.data.Dataset:
    """Return the shuffled and augmented batches of many epochs, one after the other.

    Epoch `e` is the same whether the training came to it from epoch 0 or was resumed there.

    Args:
        examples: inputs and targets.
        batch_size: of the largest batch. An epoch's batches are of one size, or of two that differ
            by one: a last one of a few examples would be a step in the dark, with statistics of
            batch normalization to match, right before the validation.
        task: as in `batches`.
        classes: number of classes.
        epochs: numbers of the epochs, such as `range(2, 10)`.
        seed: of order and augmentation.
        augment: name -> strength, applied in this order; see `recipes.data.augmentation`.
        class_weights: weight of each class; the batches then have a third part, the weights of
            their examples.
        sampling: "over" or "under" draws every class equally often, see `recipes.data.sampling`;
            "" each example once.
    """
    augment = dict(augment or {})
    augmentation.check(augment, examples.inputs.shape[1:])
    if augment and examples.inputs.ndim != 4:
        raise InputError("augmentation needs images, and these examples are rows of a table.")

    size = epoch_size(examples.targets, sampling)
    steps = math.ceil(size / batch_size)

    def epoch_order(epoch: tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.cast(seed, tf.int64), epoch])
        if sampling:
            order = tf.numpy_function(
                lambda e: balanced_order(examples.targets, sampling, seed, int(e)),
                [epoch],
                tf.int64,
                False,
            )
            order.set_shape((None,))
        else:
            order = tf.random.experimental.stateless_shuffle(tf.range(size, dtype=tf.int64), key)

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            indices = order[step * size // steps : (step + 1) * size // steps]
            return indices, tf.stack([key[0], epoch * 2**32 + step])

        return tf.data.Dataset.range(steps).map(batch)

    gather, targets_of = _gather(examples, task, classes), _targets(task)
    # What belongs to the input alone, such as noise, comes after a reconstruction's target is cut.
    input_only = INPUT_ONLY if task == "reconstruction" else set()

    def make(indices: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, ...]:
        inputs, targets = gather(indices)
        for only in (False, True):
            if only:
                inputs, targets = targets_of(inputs, targets)
            for number, (name, strength) in enumerate(augment.items()):
                if (name in input_only) == only:
                    own = tf.random.fold_in(key, number)
                    inputs, targets = AUGMENTATIONS[name](inputs, targets, strength, own)
        if class_weights is None:
            return inputs, targets
        return inputs, targets, tf.linalg.matvec(targets, tf.constant(class_weights, tf.float32))

    return (
        tf.data.Dataset.range(epochs.start, epochs.stop)
        .flat_map(epoch_order)
        .map(make, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def balanced_weights(targets: np.ndarray, classes: int) -> list[float]:
    """Return class weights in inverse proportion to the classes' sizes, 1 on average.

    Classes without examples do not count.
    """
    counts = np.bincount(targets, minlength=classes)
    return (len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))).tolist()


def _gather(examples: Examples, task: str, classes: int) -> Callable[..., Any]:
    """Return indices -> (inputs, targets), by NumPy: the arrays may be mapped from a file."""
    inputs, targets = examples.inputs, examples.targets
    if task == "reconstruction":  # the inputs are its targets, once they are augmented
        targets = np.zeros((len(inputs), 1), "float32")
    if task == "classification":
        targets = np.eye(classes, dtype="float32")[targets]

    def gather(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x, y = tf.numpy_function(
            lambda i: (inputs[i], targets[i]), [indices], [inputs.dtype, targets.dtype], False
        )
        x.set_shape((None, *inputs.shape[1:]))
        y.set_shape((None, *targets.shape[1:]))
        return x, y

    return gather


def _targets(task: str) -> Callable[..., Any]:
    """Return (inputs, targets) -> the same with the targets that the task wants."""

    def scaled(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return x, tf.cast(x, tf.float32) / 255

    return scaled if task == "reconstruction" else lambda x, y: (x, y)
