"""Every configuration of a grid of small perceptrons on digits, trained once: a table to search in.

    python benchmarks/tuning_table.py

writes `benchmarks/results/tuning_table.csv`: 2,000 rows, each with its loss and accuracy on the
validation split after 1, 3, 9 and 27 epochs (the best epoch up to there). Those that differ in
learning rate and dropout alone are trained together, stacked along one axis: all else is `mlp`'s
and `Recipe`'s (He's initialization, Adam, a constant rate, pictures in 0…1).
"""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from recipes import load_data
from zoo.files import whole_file

RESULTS = Path(__file__).with_name("results") / "tuning_table.csv"
GRID = {
    "depth": (1, 2),
    "width": (8, 16, 32, 64, 128),
    "activation": ("relu", "tanh"),
    "batch_size": (32, 128),
    "learning_rate": tuple(float(f"{10 ** (-4 + n / 3):.3g}") for n in range(10)),
    "dropout": (0.0, 0.1, 0.2, 0.35, 0.5),
}
EPOCHS = (1, 3, 9, 27)
_ACTIVATIONS = {"relu": tf.nn.relu, "tanh": tf.nn.tanh}
_BETAS, _EPSILON = (0.9, 0.999), 1e-7  # Adam's, as Keras has them


class Stack:
    """Perceptrons of one shape, side by side, each with its own learning rate and dropout."""

    def __init__(
        self, sizes: list[int], activation: str, rates: np.ndarray, dropout: np.ndarray, seed: int
    ) -> None:
        random = np.random.default_rng(seed)
        self.activation, count = _ACTIVATIONS[activation], len(rates)
        self.rates = tf.constant(rates[:, None, None], tf.float32)
        self.kept = tf.constant(1 - dropout[:, None, None], tf.float32)
        self.weights: list[tf.Variable] = []
        for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            last = number == len(sizes) - 2  # whose initialization is Glorot's
            deviation = (2 / (inputs + outputs) if last else 2 / inputs) ** 0.5
            kernel = random.normal(scale=deviation, size=(count, inputs, outputs))
            self.weights += [
                tf.Variable(kernel.astype("float32")),
                tf.Variable(tf.zeros((count, 1, outputs))),
            ]
        self.moments = [[tf.Variable(tf.zeros_like(w)) for w in self.weights] for _ in _BETAS]
        self.step = tf.Variable(0.0)

    def logits(self, inputs: tf.Tensor, learning: bool) -> tf.Tensor:
        """Return logits `(perceptrons, examples, classes)`."""
        x = tf.broadcast_to(inputs, (len(self.rates), *inputs.shape))
        for place in range(0, len(self.weights), 2):
            if place:
                x = self.activation(x)
                if learning:
                    x *= tf.cast(tf.random.uniform(tf.shape(x)) < self.kept, x.dtype) / self.kept
            x = x @ self.weights[place] + self.weights[place + 1]
        return x

    @tf.function
    def learn(self, inputs: tf.Tensor, targets: tf.Tensor) -> None:
        """Take one step of Adam on a batch."""
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.reduce_mean(self._losses(inputs, targets, True), axis=1))
        gradients = tape.gradient(loss, self.weights)
        self.step.assign_add(1.0)
        bias = [1 - tf.pow(beta, self.step) for beta in _BETAS]
        for weight, gradient, first, second in zip(
            self.weights, gradients, *self.moments, strict=True
        ):
            first.assign(_BETAS[0] * first + (1 - _BETAS[0]) * gradient)
            second.assign(_BETAS[1] * second + (1 - _BETAS[1]) * gradient**2)
            step = first / bias[0] / (tf.sqrt(second / bias[1]) + _EPSILON)
            weight.assign_sub(self.rates * step)

    def _losses(self, inputs: tf.Tensor, targets: tf.Tensor, learning: bool) -> tf.Tensor:
        logits = self.logits(inputs, learning)
        labels = tf.broadcast_to(targets, (len(self.rates), len(targets)))
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)

    @tf.function
    def measure(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return each one's mean loss and accuracy."""
        losses = tf.reduce_mean(self._losses(inputs, targets, False), axis=1)
        right = tf.argmax(self.logits(inputs, False), axis=-1) == targets
        return losses, tf.reduce_mean(tf.cast(right, tf.float32), axis=1)


def main() -> None:
    """Train all of them, and write the table."""
    data = load_data("digits")
    train, validation = (
        (split.inputs.reshape(len(split), -1).astype("float32") / 255, split.targets)
        for split in (data.train, data.validation)
    )
    together = list(itertools.product(GRID["learning_rate"], GRID["dropout"]))
    rates, dropout = np.array(together).T
    rows = []
    shapes = itertools.product(*(GRID[name] for name in ("depth", "width", "activation")))
    for number, (shape, batch_size) in enumerate(itertools.product(shapes, GRID["batch_size"])):
        depth, width, activation = shape
        tf.random.set_seed(number)
        stack = Stack([64, *[width] * depth, 10], activation, rates, dropout, number)
        order = np.random.default_rng(number)
        figures = []
        for _ in range(EPOCHS[-1]):
            shuffled = order.permutation(len(train[0]))
            for start in range(0, len(shuffled), batch_size):
                chosen = shuffled[start : start + batch_size]
                stack.learn(tf.constant(train[0][chosen]), tf.constant(train[1][chosen]))
            figures.append([part.numpy() for part in stack.measure(*map(tf.constant, validation))])
        losses, right = np.array(figures).swapaxes(0, 1)  # (epochs, perceptrons) each
        for place, (rate, share) in enumerate(together):
            row = dict(zip(GRID, (*shape, batch_size, rate, share), strict=True))
            for epoch in EPOCHS:
                row[f"val_loss_{epoch}"] = round(float(losses[:epoch, place].min()), 4)
                row[f"val_accuracy_{epoch}"] = round(float(right[:epoch, place].max()), 4)
            rows.append(row)
        print(f"{len(rows):,} configurations", flush=True)
    with whole_file(RESULTS) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
