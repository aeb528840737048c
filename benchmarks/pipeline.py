"""The input pipeline: augmentation of whole batches against example by example, in one run.

    python benchmarks/pipeline.py

Random 32×32×3 images, batch 128: flip, crop and mixup as most recipes have them, each augmentation
by itself, and all at once. Writes `benchmarks/results/pipeline.csv`.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from recipes.data.augmentation import AUGMENTATIONS
from recipes.data.pipeline import training_batches
from recipes.data.randaugment import HIGHEST, OPERATIONS, painted
from recipes.data.splits import Examples

USUAL = {"flip": 0.5, "crop": 4.0, "mixup": 0.2}
ALL = {
    "flip": 0.5,
    "crop": 4.0,
    "jitter": 0.4,
    "randaugment": 9.0,
    "erase": 0.25,
    "mixup": 0.2,
    "cutmix": 1.0,
    "noise": 0.05,
}
CASES = {"flip, crop, mixup": USUAL, **{name: {name: ALL[name]} for name in ALL}, "all": ALL}
MIXING = {"mixup", "cutmix"}  # there is nothing to mix in one example
COUNT, BATCH, ROUNDS = 20_000, 128, 5


def per_batch(examples: Examples, augment: dict[str, float]) -> tf.data.Dataset:
    """Return the project's own pipeline for one epoch."""
    return training_batches(
        examples, BATCH, "classification", 10, epochs=range(1), seed=0, augment=augment
    )


def per_example(examples: Examples, augment: dict[str, float]) -> tf.data.Dataset:
    """Return the usual pipeline: shuffle, change each example, batch, mix."""
    targets = np.eye(10, dtype="float32")[examples.targets]
    counter = tf.data.Dataset.counter()

    def one(step: tf.Tensor, pair: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images, hot = pair[0][None], pair[1][None]
        for number, (name, strength) in enumerate(augment.items()):
            seed = tf.stack([step, tf.constant(number, tf.int64)])
            if name == "randaugment":
                images = two_operations(images, strength, seed)
            elif name not in MIXING:
                images, hot = AUGMENTATIONS[name](images, hot, strength, seed)
        return images[0], hot[0]

    def mixed(step: tf.Tensor, pair: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        for number, name in enumerate(sorted(MIXING & augment.keys())):
            seed = tf.stack([step, tf.constant(number, tf.int64)])
            pair = AUGMENTATIONS[name](*pair, augment[name], seed)
        return pair

    data = tf.data.Dataset.from_tensor_slices((examples.inputs, targets)).shuffle(COUNT)
    data = tf.data.Dataset.zip((counter, data)).map(one, tf.data.AUTOTUNE).batch(BATCH)
    return tf.data.Dataset.zip((counter, data)).map(mixed).prefetch(tf.data.AUTOTUNE)


def two_operations(image: tf.Tensor, magnitude: float, seed: tf.Tensor) -> tf.Tensor:
    """Apply RandAugment to one image, and only the operations that were drawn for it."""
    drawn = tf.random.stateless_uniform((2,), seed, 0, len(OPERATIONS), tf.int32)
    level = tf.constant([magnitude / HIGHEST])
    for turn in range(2):
        before = image
        choices = [
            lambda operation=operation, before=before: painted(operation, before, level)
            for operation in OPERATIONS.values()
        ]
        image = tf.ensure_shape(tf.switch_case(drawn[turn], choices), before.shape)
    return image


def rate(
    make: Callable[..., tf.data.Dataset], examples: Examples, augment: dict[str, float]
) -> float:
    """Return the images per second of one epoch, the first batch left out: it compiles."""
    batches = iter(make(examples, augment))
    next(batches)
    start = time.perf_counter()
    for _ in batches:
        pass
    return (len(examples) - BATCH) / (time.perf_counter() - start)


def main(count: int = COUNT, rounds: int = ROUNDS, out: Path | None = None) -> None:
    """Time both ways, in turn."""
    rng = np.random.default_rng(0)
    examples = Examples(
        rng.integers(0, 256, (count, 32, 32, 3), "uint8"), rng.integers(0, 10, count)
    )
    ways = {"per batch": per_batch, "per example": per_example}
    rows = []
    for case, augment in CASES.items():
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, make in ways.items():
                rates[way].append(rate(make, examples, augment))
        for way, values in rates.items():
            found = round(float(np.median(values)))
            rows.append({"augmentation": case, "pipeline": way, "images_per_second": found})
    table = pd.DataFrame(rows)
    table.to_csv(out or Path(__file__).parent / "results" / "pipeline.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
