"""One block of a transformer: of an encoder, of a decoder, or of a language model."""

from typing import Any

import keras
from keras import ops

from zoo.layers.attention import NEVER, Attention, causal_bias
from zoo.layers.dropout import Dropout
from zoo.layers.gelu import Gelu

_ARGUMENTS = ("num_heads", "hidden", "dropout", "causal", "pre_norm", "activation", "epsilon")


@keras.saving.register_keras_serializable(package="zoo")
class TransformerBlock(keras.layers.Layer):
    """Self-attention, attention to a memory where there is one, and a perceptron for each place.

    *Attention Is All You Need*, Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, Figure 1;
    normalization before each part as in *On Layer Normalization in the Transformer Architecture*,
    Xiong et al. 2020, https://arxiv.org/abs/2002.04745

    - x: `(batch, length, width)`
    - memory: `(batch, places, width)`, for a decoder of an encoder–decoder
    - output: `(batch, length, width)`; with `return_weights`, also those of the attention to the
      memory, float32 `(batch, num_heads, length, places)`

    Args:
        num_heads: number of heads of each attention.
        hidden: units of the perceptron's hidden layer.
        dropout: share of each part's output that is dropped in training.
        causal: whether a place sees only itself and the ones before it.
        pre_norm: normalize before each part, rather than after the sum, as the paper does.
        activation: "relu" or "gelu".
        epsilon: of the normalizations.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: there is no such activation.
    """

    def __init__(
        self,
        num_heads: int,
        hidden: int,
        dropout: float = 0.0,
        causal: bool = False,
        pre_norm: bool = False,
        activation: str = "relu",
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if activation not in {"relu", "gelu"}:
            raise ValueError(f"activation must be 'relu' or 'gelu', not {activation!r}.")
        self.num_heads, self.hidden, self.dropout = num_heads, hidden, dropout
        self.causal, self.pre_norm = causal, pre_norm
        self.activation, self.epsilon = activation, epsilon

    def build(self, x_shape: tuple[int | None, ...], memory_shape: Any = None) -> None:
        """Create the parts."""
        policy, width = self.dtype_policy, x_shape[-1]
        parts = ["self", *(["memory"] if memory_shape else []), "mlp"]
        self.attention = Attention(self.num_heads, dtype=policy, name="self_attention")
        self.attention.build(x_shape)
        if memory_shape:
            self.memory_attention = Attention(self.num_heads, dtype=policy, name="memory_attention")
            self.memory_attention.build(x_shape, memory_shape)
        self.wide = keras.layers.Dense(self.hidden, dtype=policy, name="wide")
        self.wide.build(x_shape)
        gelu = self.activation == "gelu"
        self.activate = Gelu(dtype=policy) if gelu else keras.layers.ReLU(dtype=policy)
        self.narrow = keras.layers.Dense(width, dtype=policy, name="narrow")
        self.narrow.build((*x_shape[:-1], self.hidden))
        self.norms, self.drops = {}, {}
        for part in parts:
            norm = keras.layers.LayerNormalization(
                epsilon=self.epsilon, dtype=policy, name=f"{part}_norm"
            )
            norm.build(x_shape)
            self.norms[part] = norm
            self.drops[part] = Dropout(self.dropout, dtype=policy)

    def call(
        self,
        x: Any,
        memory: Any = None,
        bias: Any = None,
        memory_bias: Any = None,
        return_weights: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Apply the block to whole sequences.

        Args:
            x: `(batch, length, width)`.
            memory: `(batch, places, width)`.
            bias: added to the scores of self-attention, beside what `causal` hides.
            memory_bias: added to the scores of the attention to the memory.
            return_weights: whether the weights of the attention to the memory are returned, too.
            training: whether to drop.
        """
        if self.causal:
            hidden = causal_bias(ops.shape(x)[1])
            bias = hidden if bias is None else bias + hidden
        x, _ = self.part(
            "self", x, lambda y: self.attention(y, bias=bias, return_weights=True), training
        )
        weights = None
        if memory is not None:
            x, weights = self.part(
                "memory",
                x,
                lambda y: self.memory_attention(y, memory, memory_bias, return_weights=True),
                training,
            )
        x = self.perceptron(x, training)
        return (x, weights) if return_weights else x

    def step(
        self,
        x: Any,
        place: Any,
        cache: tuple[Any, Any],
        memory_cache: tuple[Any, Any] | None = None,
        memory_bias: Any = None,
    ) -> tuple[Any, tuple[Any, Any], Any]:
        """Apply the block to one place, after those before it.

        Args:
            x: `(batch, 1, width)`.
            place: its number, from 0.
            cache: keys and values of the places before it, `(batch, num_heads, length, depth)`
                each, with room for this one.
            memory_cache: `memory_attention.keys_and_values` of the memory.
            memory_bias: added to the scores of the attention to the memory.

        Returns:
            The output, the cache with this place, and the weights of the attention to the memory.
        """
        places = ops.arange(cache[0].shape[2])
        bias = ops.cast(places > place, "float32") * NEVER
        kept: list[Any] = []

        def attend(y: Any) -> tuple[Any, Any]:
            for old, new in zip(cache, self.attention.keys_and_values(y), strict=True):
                kept.append(ops.slice_update(old, (0, 0, place, 0), ops.cast(new, old.dtype)))
            return self.attention.attend(y, kept[0], kept[1], bias)

        x, weights = self.part("self", x, attend)
        if memory_cache:
            x, weights = self.part(
                "memory",
                x,
                lambda y: self.memory_attention.attend(y, *memory_cache, memory_bias),
            )
        return self.perceptron(x), (kept[0], kept[1]), weights

    def part(self, name: str, x: Any, function: Any, training: bool | None = None) -> Any:
        """Return a part's output with its residual, normalized, and what else it returns."""
        y, *rest = function(self.norms[name](x) if self.pre_norm else x)
        x = x + self.drops[name](y, training=training)
        return (x if self.pre_norm else self.norms[name](x), *rest)

    def perceptron(self, x: Any, training: bool | None = None) -> Any:
        """Apply the last part."""

        def mlp(y: Any) -> tuple[Any]:
            return (self.narrow(self.activate(self.wide(y), training=training)),)

        return self.part("mlp", x, mlp, training)[0]

    def compute_output_spec(
        self,
        x: Any,
        memory: Any = None,
        bias: Any = None,
        memory_bias: Any = None,
        return_weights: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Return the outputs' shapes, of which batch and lengths may be unknown."""
        outputs = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        if not return_weights:
            return outputs
        shape = (x.shape[0], self.num_heads, x.shape[1], memory.shape[1])
        return outputs, keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), **{name: getattr(self, name) for name in _ARGUMENTS}}
