"""Batches of tokens as `tf.data`: texts of like length together, or one text in windows.

As in `recipes.data.pipeline`, every batch is a pure function of the seed, the epoch and its place.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.splits import Examples, Splits
from recipes.data.texts import as_text
from zoo.errors import InputError
from zoo.special_tokens import START
from zoo.texts import framed
from zoo.tokenizer import Tokenizer

_POOL = 300  # batches' worth of texts that are sorted together: fewer would leave more padding


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of token numbers of different lengths, one behind the other.

    Attributes:
        flat: int32 `(tokens,)`.
        starts: int64 `(rows + 1,)`: where each begins, and where the last ends.
    """

    flat: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "Rows":
        """Return the rows."""
        lengths = np.fromiter(map(len, rows), "int64", len(rows))
        flat = np.fromiter((n for row in rows for n in row), "int32", int(lengths.sum()))
        return cls(flat, np.concatenate([[0], np.cumsum(lengths)]))

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each row."""
        return np.diff(self.starts)

    def padded(self, indices: np.ndarray) -> np.ndarray:
        """Return some rows as int32 `(rows, length of the longest)`, padded behind."""
        starts, lengths = self.starts[indices], self.starts[indices + 1] - self.starts[indices]
        places = np.arange(lengths.max(initial=0))
        inside = places < lengths[:, None]
        result = np.zeros(inside.shape, "int32")
        result[inside] = self.flat[(starts[:, None] + places)[inside]]
        return result


@dataclass(frozen=True, eq=False)
class Batches:
    """What a training of a model of text is fed with.

    Attributes:
        training: batches of many epochs, one after the other.
        steps: number of batches in an epoch.
        validation: all of them, once.
        padding: share of padding among the tokens of an epoch.
        left_out: number of training examples that are too long.
    """

    training: tf.data.Dataset
    steps: int
    validation: tf.data.Dataset
    padding: float = 0.0
    left_out: int = 0


def text_batches(
    data: Splits,
    batch_size: int,
    max_length: int,
    epochs: range,
    seed: int,
    carried: bool = False,
    class_weights: Sequence[float] | None = None,
) -> Batches:
    """Return the batches of a text's task.

    Args:
        data: with tokenizers.
        batch_size: examples in a batch, or windows of one long text.
        max_length: greatest number of tokens of an example, special ones included. Pairs that are
            longer are left out of training, other texts are cut; one long text is read in windows
            of this size.
        epochs: numbers of the epochs.
        seed: of their order.
        carried: a batch of windows goes on where the one before it ended.
        class_weights: weight of each class.
    """
    settings = (batch_size, epochs, seed)
    if data.task == "language_modeling":
        [tokenizer] = data.tokenizers.values()
        return _windows(data, tokenizer, max_length, carried, *settings)
    if data.task == "translation":
        return _pairs(data, max_length, *settings)
    return _classes(data, max_length, class_weights, *settings)


def _pairs(data: Splits, max_length: int, batch_size: int, epochs: range, seed: int) -> Batches:
    """Teacher forcing: at every place the decoder has read the true tokens before it."""
    tokens = {split: pair_rows(data[split], data.tokenizers) for split in ("train", "validation")}
    source, target = tokens["train"]
    fits = np.flatnonzero((source.lengths <= max_length) & (target.lengths <= max_length))
    if not len(fits):
        raise InputError(f"no pair of {data.source!r} has at most {max_length} tokens.")

    def gather(split: str) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
        source, target = tokens[split]

        def batch(indices: np.ndarray) -> tuple[np.ndarray, ...]:
            answers = target.padded(indices)
            # What is read of the longest pair ends before its last token; padding stays padding.
            return source.padded(indices), _without_end(answers), answers[:, 1:]

        return batch

    def form(source: tf.Tensor, target: tf.Tensor, labels: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return {"source": source, "target": target}, labels

    keys = np.stack([source.lengths, target.lengths])
    return _bucketed(
        fits, keys, gather("train"), gather("validation"), len(data.validation), form,
        [tf.int32] * 3, [(None, None)] * 3, batch_size, epochs, seed, tokens["validation"],
        len(data.train) - len(fits),
    )  # fmt: skip


def _without_end(answers: np.ndarray) -> np.ndarray:
    """Return what the decoder reads: START and the tokens, without the end and all behind it."""
    read = answers[:, :-1].copy()
    read[answers[:, 1:] == 0] = 0
    return read


def pair_rows(examples: Examples, tokenizers: Mapping[str, Tokenizer]) -> tuple[Rows, Rows]:
    """Return the tokens of sources and of targets."""
    sources = framed(tokenizers["source"], examples.inputs.tolist(), "source")
    targets = framed(tokenizers["target"], examples.targets.tolist(), "target")
    return Rows.of(sources), Rows.of(targets)


def _classes(
    data: Splits,
    max_length: int,
    class_weights: Sequence[float] | None,
    batch_size: int,
    epochs: range,
    seed: int,
) -> Batches:
    [tokenizer] = data.tokenizers.values()
    one_hot = np.eye(len(data.labels), dtype="float32")
    rows = {
        split: Rows.of(framed(tokenizer, data[split].inputs.tolist(), "ids", max_length))
        for split in ("train", "validation")
    }
    weights = np.asarray(class_weights or [1.0] * len(data.labels), "float32")

    def gather(split: str) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
        targets = data[split].targets

        def batch(indices: np.ndarray) -> tuple[np.ndarray, ...]:
            numbers = targets[indices]
            own = weights[numbers] if split == "train" else np.ones(len(numbers), "float32")
            return rows[split].padded(indices), one_hot[numbers], own

        return batch

    train = rows["train"]
    return _bucketed(
        np.arange(len(train.lengths)), train.lengths[None], gather("train"),
        gather("validation"), len(data.validation), lambda x, y, w: (x, y, w),
        [tf.int32, tf.float32, tf.float32], [(None, None), (None, len(data.labels)), (None,)],
        batch_size, epochs, seed, (rows["validation"],),
    )  # fmt: skip


def _bucketed(
    fits: np.ndarray,
    keys: np.ndarray,
    gather: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    gather_validation: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    validation_size: int,
    form: Callable[..., Any],
    dtypes: Sequence[tf.DType],
    shapes: Sequence[tuple[int | None, ...]],
    batch_size: int,
    epochs: range,
    seed: int,
    validation_rows: Sequence[Rows],
    left_out: int = 0,
) -> Batches:
    """Return batches of examples of like length.

    Args:
        fits: numbers of the examples to learn from.
        keys: `(kinds, examples)` lengths.
        gather: numbers of examples -> arrays of a batch.
        gather_validation: the same of the validation examples.
        validation_size: their number.
        form: the arrays -> what Keras' fit takes.
        dtypes: of the arrays.
        shapes: of the arrays.
        batch_size: of the largest batch; sizes differ by one at most.
        epochs: numbers of the epochs.
        seed: of the order.
        validation_rows: by whose lengths the validation examples are sorted.
        left_out: number of examples that are too long.
    """
    steps = math.ceil(len(fits) / batch_size)
    edges = np.arange(steps + 1) * len(fits) // steps

    def order_of(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, int(epoch)])
        return rng.permutation(steps), by_length(fits, keys, batch_size, rng)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        places, order = tf.numpy_function(order_of, [epoch], [tf.int64, tf.int64], False)
        starts = tf.constant(edges, tf.int64)

        def indices(step: tf.Tensor) -> tf.Tensor:
            return order[starts[places[step]] : starts[places[step] + 1]]

        return tf.data.Dataset.range(steps).map(indices)

    def arrays(read: Callable[[np.ndarray], tuple[np.ndarray, ...]]) -> Callable[..., Any]:
        def batch(indices: tf.Tensor) -> Any:
            found = tf.numpy_function(read, [indices], dtypes, False)
            for tensor, shape in zip(found, shapes, strict=True):
                tensor.set_shape(shape)
            return form(*found)

        return batch

    order = np.lexsort([rows.lengths for rows in validation_rows])
    chunks = tf.data.Dataset.range(validation_size).map(lambda i: tf.constant(order)[i])
    rng = np.random.default_rng([seed, epochs.start])
    sorted_order = by_length(fits, keys, batch_size, rng)
    widths = np.maximum.reduceat(keys[:, sorted_order], edges[:-1], axis=1)
    tokens, room = keys[:, fits].sum(), (widths * np.diff(edges)).sum()
    return Batches(
        training=tf.data.Dataset.range(epochs.start, epochs.stop)
        .flat_map(epoch_batches)
        .map(arrays(gather), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE),
        steps=steps,
        validation=chunks.batch(batch_size).map(arrays(gather_validation)).prefetch(1),
        padding=float(1 - tokens / room),
        left_out=left_out,
    )


def by_length(
    fits: np.ndarray, keys: np.ndarray, batch_size: int, rng: np.random.Generator
) -> np.ndarray:
    """Return examples in an order of chance in which neighbours have like lengths.

    The examples are shuffled, and pools of some hundred batches sorted by length: by the first of
    the lengths, and among equals by the second.

    Args:
        fits: int64, numbers of the examples.
        keys: `(kinds, all examples)` lengths.
        batch_size: examples in a batch.
        rng: of the order.
    """
    order = rng.permutation(fits)
    size = _POOL * batch_size
    pools = [order[start : start + size] for start in range(0, len(order), size)]
    sort = [pool[np.lexsort(keys[::-1, pool])] for pool in pools]
    return np.concatenate(sort).astype("int64")


def _windows(
    data: Splits,
    tokenizer: Tokenizer,
    length: int,
    carried: bool,
    batch_size: int,
    epochs: range,
    seed: int,
) -> Batches:
    """Return windows of one long text, which need no padding.

    Another share of the text is left out in each epoch, so that windows begin elsewhere. Without
    `carried`, each begins with the start token, and so the model learns to begin with nothing
    before; with it, a batch's rows are as many parts of the text, which are read on from batch to
    batch.
    """
    ids = {split: text_ids(tokenizer, data[split]) for split in ("train", "validation")}
    make = _carried if carried else _separate
    rows = batch_size if carried else 1
    train, validation = ids["train"], ids["validation"]
    if len(train) <= 2 * rows * length or len(validation) < rows * 2:
        parts = f" in {rows} parts (batch_size)" if carried else ""
        raise InputError(
            f"{data.source!r} has {len(train):,} tokens to learn from and {len(validation):,} for "
            f"validation: too few for windows of {length} (max_length){parts}."
        )
    # Of the shortest text that an epoch can leave, so that all have as many steps.
    steps = len(make(train[length:], length, batch_size)[1])

    def epoch_text(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, int(epoch)])
        inputs, labels = make(train[rng.integers(length) :], length, batch_size)
        order = np.arange(steps) if carried else rng.permutation(len(labels))[:steps]
        return inputs[order], labels[order]

    def spec(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = (batch_size if carried else None, length)
        x.set_shape(shape)
        y.set_shape(shape)
        return x, y

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        x, y = tf.numpy_function(epoch_text, [epoch], [tf.int32, tf.int32], False)
        return tf.data.Dataset.from_tensor_slices((x, y))

    def batched(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset if carried else dataset.batch(batch_size)

    own = make(validation, min(length, len(validation) // rows), batch_size)
    return Batches(
        training=tf.data.Dataset.range(epochs.start, epochs.stop)
        .flat_map(lambda epoch: batched(epoch_batches(epoch)))
        .map(spec)
        .prefetch(tf.data.AUTOTUNE),
        steps=steps if carried else math.ceil(steps / batch_size),
        validation=batched(tf.data.Dataset.from_tensor_slices(own)).prefetch(1),
    )


def text_ids(tokenizer: Tokenizer, examples: Examples) -> np.ndarray:
    """Return the tokens of one long text, int32."""
    [row] = tokenizer.encode([as_text(examples.inputs)])
    return np.array(row, "int32")


def separate_windows(ids: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels `(windows, length)`; each input begins with the start token."""
    labels = ids[: len(ids) // length * length].reshape(-1, length)
    starts = np.full((len(labels), 1), START, "int32")
    return np.concatenate([starts, labels[:, :-1]], axis=1), labels


def _separate(ids: np.ndarray, length: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    return separate_windows(ids, length)


def _carried(ids: np.ndarray, length: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels `(steps, batch_size, length)`, of which each row goes on."""
    steps = len(ids) // (batch_size * length)
    labels = ids[: steps * batch_size * length].reshape(batch_size, steps * length)
    starts = np.full((batch_size, 1), START, "int32")
    inputs = np.concatenate([starts, labels[:, :-1]], axis=1)
    return tuple(x.reshape(batch_size, steps, length).swapaxes(0, 1) for x in (inputs, labels))  # type: ignore[return-value]
