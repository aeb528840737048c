"""How a recurrent decoder looks at the whole source: after its steps, or before each of them."""

from typing import Any

import keras
from keras import ops

_CELLS = {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}


@keras.saving.register_keras_serializable(package="zoo")
class AdditiveAttention(keras.layers.Layer):
    """Scores each place of a memory by a perceptron, and returns the weighted sum.

    *Neural Machine Translation by Jointly Learning to Align and Translate*, Bahdanau, Cho & Bengio
    2014, https://arxiv.org/abs/1409.0473, section 3.1

    Luong's "concat" is the same formula, looked up for all steps at once.

    - query: `(batch, width)`, or of several steps `(batch, length, width)`
    - memory: `(batch, places, memory_width)`
    - output: the sums `(batch, [length,] memory_width)` and the float32 weights
      `(batch, [length,] places)`

    Args:
        units: hidden units of the perceptron.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, query_shape: tuple[int | None, ...], memory_shape: Any) -> None:
        """Create the perceptron."""
        policy = self.dtype_policy
        self.of_query = keras.layers.Dense(self.units, dtype=policy, name="of_query")
        self.of_memory = keras.layers.Dense(
            self.units, use_bias=False, dtype=policy, name="of_memory"
        )
        self.score = keras.layers.Dense(1, use_bias=False, dtype=policy, name="score")
        self.of_query.build(query_shape)
        self.of_memory.build(memory_shape)
        self.score.build((None, None, self.units))

    def call(self, query: Any, memory: Any, bias: Any = None) -> tuple[Any, Any]:
        """Look at `memory`; `bias` `(batch, places)` is added to the scores."""
        return self.look(query, memory, self.of_memory(memory), bias)

    def look(self, query: Any, memory: Any, keys: Any, bias: Any = None) -> tuple[Any, Any]:
        """Do the same with keys that were computed before, by `of_memory`."""
        query = ops.expand_dims(self.of_query(query), -2)
        several = len(query.shape) == 4
        keys = ops.expand_dims(keys, 1) if several else keys
        scores = ops.cast(self.score(ops.tanh(query + keys))[..., 0], "float32")
        if bias is not None:  # a layer casts what it is given
            bias = ops.cast(bias, "float32")
            scores = scores + (ops.expand_dims(bias, 1) if several else bias)
        weights = ops.softmax(scores, axis=-1)
        found = ops.matmul(
            ops.cast(weights if several else ops.expand_dims(weights, 1), memory.dtype), memory
        )
        return (found if several else found[:, 0]), weights

    def compute_output_spec(self, query: Any, memory: Any, bias: Any = None) -> tuple[Any, Any]:
        """Return the outputs' shapes, of which batch and lengths may be unknown."""
        before = query.shape[:-1]
        return (
            keras.KerasTensor((*before, memory.shape[-1]), dtype=self.compute_dtype),
            keras.KerasTensor((*before, memory.shape[1]), dtype="float32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="zoo")
class MultiplicativeAttention(keras.layers.Layer):
    """Scores each place of a memory by a product with it, and returns the weighted sum.

    *Effective Approaches to Attention-based Neural Machine Translation*, Luong, Pham & Manning
    2015, https://arxiv.org/abs/1508.04025, section 3.1: "dot", and with a matrix "general"

    - query: `(batch, length, width)`
    - memory: `(batch, places, memory_width)`
    - output: the sums `(batch, length, memory_width)` and the float32 weights
      `(batch, length, places)`

    Args:
        general: whether a matrix stands between the two; if not, their widths are equal.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: the widths differ, and there is no matrix.
    """

    def __init__(self, general: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.general = general

    def build(self, query_shape: tuple[int | None, ...], memory_shape: Any) -> None:
        """Create the matrix."""
        width, memory_width = query_shape[-1], memory_shape[-1]
        if self.general:
            self.of_memory = keras.layers.Dense(
                width, use_bias=False, dtype=self.dtype_policy, name="of_memory"
            )
            self.of_memory.build(memory_shape)
        elif width != memory_width:
            raise ValueError(
                f"'dot' needs equal widths, not {width} and {memory_width}: take 'general'."
            )

    def call(self, query: Any, memory: Any, bias: Any = None) -> tuple[Any, Any]:
        """Look at `memory`; `bias` `(batch, places)` is added to the scores."""
        keys = self.of_memory(memory) if self.general else memory
        scores = ops.cast(ops.matmul(query, ops.swapaxes(keys, 1, 2)), "float32")
        if bias is not None:
            scores = scores + ops.cast(ops.expand_dims(bias, 1), "float32")
        weights = ops.softmax(scores, axis=-1)
        return ops.matmul(ops.cast(weights, memory.dtype), memory), weights

    def compute_output_spec(self, query: Any, memory: Any, bias: Any = None) -> tuple[Any, Any]:
        """Return the outputs' shapes, of which batch and lengths may be unknown."""
        batch, length, _ = query.shape
        return (
            keras.KerasTensor((batch, length, memory.shape[-1]), dtype=self.compute_dtype),
            keras.KerasTensor((batch, length, memory.shape[1]), dtype="float32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "general": self.general}


@keras.saving.register_keras_serializable(package="zoo")
class AttentionDecoder(keras.layers.Layer):
    """A cell whose every input is a token's vector and what its last state finds in a memory.

    *Neural Machine Translation by Jointly Learning to Align and Translate*, Bahdanau, Cho & Bengio
    2014, https://arxiv.org/abs/1409.0473, section 3.1

    - x: `(batch, length, width)`
    - memory: `(batch, places, memory_width)`
    - state: the cell's first state, `(batch, units)` each
    - output: the cell's outputs `(batch, length, units)`, what was found
      `(batch, length, memory_width)`, and the float32 weights `(batch, length, places)`

    Args:
        units: of the cell.
        cell: "gru" or "lstm".
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: there is no such cell.
    """

    def __init__(self, units: int, cell: str = "gru", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if cell not in _CELLS:
            raise ValueError(f"cell must be 'gru' or 'lstm', not {cell!r}.")
        self.units, self.cell_name = units, cell

    def build(self, x_shape: tuple[int | None, ...], memory_shape: Any, **shapes: Any) -> None:
        """Create cell and attention."""
        policy = self.dtype_policy
        self.attention = AdditiveAttention(self.units, dtype=policy, name="attention")
        self.attention.build((None, self.units), memory_shape)
        self.cell = _CELLS[self.cell_name](self.units, dtype=policy, name="cell")
        self.cell.build((None, x_shape[-1] + memory_shape[-1]))

    def call(self, x: Any, memory: Any, state: Any, bias: Any = None) -> tuple[Any, Any, Any]:
        """Read `x` step by step; `bias` `(batch, places)` is added to the scores of places."""
        keys = self.attention.of_memory(memory)
        count, state = len(state), tuple(state)

        def step(carry: Any, x: Any) -> tuple[Any, Any]:
            found, weights, state = self.step(x, carry[:count], memory, keys, bias)
            carry = (*state, found, weights)
            return carry, carry

        # On TensorFlow, `ops.scan` wants what it collects to be formed as what it carries.
        nothing = (ops.zeros_like(memory[:, 0]), ops.cast(ops.zeros_like(keys[..., 0]), "float32"))
        _, collected = ops.scan(step, (*state, *nothing), ops.swapaxes(x, 0, 1))
        output, *_, found, weights = (ops.swapaxes(part, 0, 1) for part in collected)
        return output, found, weights

    def step(self, x: Any, state: Any, memory: Any, keys: Any, bias: Any = None) -> Any:
        """Read one token: what was found, the weights, and the next state, output first."""
        found, weights = self.attention.look(state[0], memory, keys, bias)
        _, state = self.cell(ops.concatenate([x, found], axis=-1), list(state))
        return found, weights, tuple(state)

    def compute_output_spec(
        self, x: Any, memory: Any, state: Any, bias: Any = None
    ) -> tuple[Any, Any, Any]:
        """Return the outputs' shapes, of which batch and lengths may be unknown."""
        batch, length, _ = x.shape
        return (
            keras.KerasTensor((batch, length, self.units), dtype=self.compute_dtype),
            keras.KerasTensor((batch, length, memory.shape[-1]), dtype=self.compute_dtype),
            keras.KerasTensor((batch, length, memory.shape[1]), dtype="float32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "units": self.units, "cell": self.cell_name}
