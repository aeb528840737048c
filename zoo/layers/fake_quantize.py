"""Activations rounded as they are where a model runs in int8."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

_LEAST_RANGE = 1e-6
_MIDDLE = 1e-3  # of a step, from the middle of two


@keras.saving.register_keras_serializable(package="zoo")
class FakeQuantize(keras.layers.Layer):
    """Rounds what goes through it to 256 evenly spaced values, one of which is 0.

    *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*,
    Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3

    In training their range follows the least and the greatest of each batch, and gradients pass as
    if nothing were rounded, but where a number lies outside; afterwards it stays. LiteRT's
    converter takes the range over.

    - input: float tensor of any shape
    - output: float tensor of that shape

    Args:
        momentum: of the range's moving average. Default 0.99.
        of_examples: the range is from the mean of the examples' least numbers to the mean of their
            greatest. What lies beyond in some examples is cut off, and the rest is rounded the
            finer for it. Default `False`: the least and the greatest of all, as also where an
            example is one number.
        **kwargs: of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import FakeQuantize
        >>> layer = FakeQuantize()
        >>> layer.adapt(np.array([0.0, 255.0]))
        >>> np.asarray(layer(np.array([0.4, 17.6, 999.0]))).tolist()
        [0.0, 18.0, 255.0]
    """

    def __init__(self, momentum: float = 0.99, of_examples: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.of_examples = momentum, of_examples
        self._seen: list[tuple[float, float, float]] | None = None  # examples, least, greatest

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the range."""
        self.least = self.add_weight(shape=(), initializer="zeros", trainable=False, name="least")
        self.greatest = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="greatest"
        )

    def adapt(self, examples: Any) -> None:
        """Take the range from an array of any shape."""
        with self.adapting():
            self(examples)

    @contextmanager
    def adapting(self) -> Iterator[None]:
        """Take the range from all that is rounded meanwhile, outside of compiled functions."""
        self._seen = []
        try:
            yield
        finally:
            self._seen = None

    def call(self, x: Any, training: bool | None = False) -> Any:
        """Round `x`."""
        if self._seen is not None:
            least, greatest = self._range(x)
            self._seen.append((len(x), float(least), float(greatest)))
            self._follow(*self._seen_range(), 0.0)
        elif training:
            self._follow(*self._range(x), self.momentum)
        return keras.quantizers.fake_quant_with_min_max_vars(x, self.least, self.greatest)

    def _seen_range(self) -> tuple[Any, Any]:
        """Return the range of all batches that were seen."""
        counts, least, greatest = np.array(self._seen).T
        if self.of_examples:
            return np.average(least, weights=counts), np.average(greatest, weights=counts)
        return least.min(), greatest.max()

    def _range(self, x: Any) -> tuple[Any, Any]:
        """Return the least and the greatest number of a batch, or the means of its examples'."""
        if self.of_examples and tuple(x.shape[1:]) not in ((), (1,)):
            axes = tuple(range(1, len(x.shape)))
            return ops.mean(ops.min(x, axes)), ops.mean(ops.max(x, axes))
        return ops.min(x), ops.max(x)

    def _follow(self, least: Any, greatest: Any, momentum: float) -> None:
        """Move the range towards another; 0 always lies in it."""
        least = ops.minimum(ops.cast(least, self.least.dtype), 0)
        greatest = ops.maximum(ops.cast(greatest, self.greatest.dtype), 0)
        greatest = ops.maximum(greatest, least + _LEAST_RANGE)
        # 0 lies in the middle of two steps where numbers go from -1 to 1, and so does each pixel:
        # whether it is rounded up or down would be chance. One step less, and none does.
        step = (greatest - least) / 255
        between = ops.abs(ops.abs(least) / step % 1 - 0.5) < _MIDDLE
        greatest = ops.where(between, least + 255 * (greatest - least) / 254, greatest)
        self.least.assign(momentum * self.least + (1 - momentum) * least)
        self.greatest.assign(momentum * self.greatest + (1 - momentum) * greatest)

    def compute_output_spec(self, x: Any, training: bool | None = False) -> Any:
        """Return the input's shape and dtype."""
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"momentum": self.momentum, "of_examples": self.of_examples}
        return {**super().get_config(), **own}
