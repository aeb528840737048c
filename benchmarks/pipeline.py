"""The input pipeline: augmentation of whole batches against example by example, in one run.

    python benchmarks/pipeline.py

Flip, crop and mixup of random 32×32×3 images, batch 128. Writes `benchmarks/results/pipeline.csv`.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from recipes.data.augmentation import crop, flip, mixup
from recipes.data.pipeline import training_batches
from recipes.data.splits import Examples

AUGMENT = {"flip": 0.5, "crop": 4.0, "mixup": 0.2}
COUNT, BATCH, ROUNDS = 20_000, 128, 5


def per_batch(examples: Examples) -> tf.data.Dataset:
    """Return the project's own pipeline for one epoch."""
    return training_batches(
        examples, BATCH, "classification", 10, epochs=range(1), seed=0, augment=AUGMENT
    )


def per_example(examples: Examples) -> tf.data.Dataset:
    """Return the usual pipeline: shuffle, flip and crop each example, batch, mix."""
    targets = np.eye(10, dtype="float32")[examples.targets]
    counter = tf.data.Dataset.counter()

    def one(step: tf.Tensor, pair: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image, target = pair
        seeds = tf.random.split(tf.stack([step, tf.constant(0, tf.int64)]), 2)
        images, targets = flip(image[None], target[None], AUGMENT["flip"], seeds[0])
        images, targets = crop(images, targets, AUGMENT["crop"], seeds[1])
        return images[0], targets[0]

    data = tf.data.Dataset.from_tensor_slices((examples.inputs, targets)).shuffle(COUNT)
    data = tf.data.Dataset.zip((counter, data)).map(one, tf.data.AUTOTUNE).batch(BATCH)
    mixed = tf.data.Dataset.zip((counter, data)).map(
        lambda step, pair: mixup(*pair, AUGMENT["mixup"], tf.stack([step, step]))
    )
    return mixed.prefetch(tf.data.AUTOTUNE)


def main() -> None:
    """Time both, in turn."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, 32, 32, 3), "uint8")
    examples = Examples(images, rng.integers(0, 10, COUNT))
    rates: dict[str, list[float]] = {"per batch": [], "per example": []}
    for _ in range(ROUNDS):
        for name, make in (("per batch", per_batch), ("per example", per_example)):
            data = make(examples)
            start = time.perf_counter()
            for _ in data:
                pass
            rates[name].append(COUNT / (time.perf_counter() - start))
    rows = [
        {"pipeline": name, "images_per_second": round(float(np.median(values)))}
        for name, values in rates.items()
    ]
    table = pd.DataFrame(rows)
    table.to_csv(Path(__file__).parent / "results" / "pipeline.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
