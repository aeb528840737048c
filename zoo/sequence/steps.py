"""What a model that was trained on whole sentences does token by token.

Each class reads the layers of one builder by their names, and computes with them what the whole
model computes, one place at a time, from what it keeps of the places before.
"""

from typing import Any, Protocol

import keras
from keras import ops

from zoo.errors import InputError
from zoo.layers import AttentionDecoder, TransformerBlock, places_bias

State = Any  # nested tuples of tensors, the batch first: what changes from place to place
Constants = Any  # the same: what all hypotheses about one source share


class Steps(Protocol):
    """How decoding sees a model.

    Attributes:
        vocabulary_size: number of tokens that can come next.
    """

    vocabulary_size: int

    def start(self, source: Any, length: int) -> tuple[State, Constants]:
        """Return what is known before the first token.

        Args:
            source: int32 `(batch, places)`: what is translated; of a language model, any array
                with the right batch.
            length: of the longest answer.
        """

    def step(self, ids: Any, place: Any, state: State, constants: Constants) -> tuple[Any, State]:
        """Read a token, and score the next one.

        Args:
            ids: int32 `(batch,)`.
            place: number of their place, from 0.
            state: of the places before.
            constants: of `start`.

        Returns:
            float32 logits `(batch, vocabulary_size)`, and the state with this place.
        """


def steps_of(model: keras.Model) -> Steps:
    """Return how a model of `zoo.sequence` goes on token by token.

    Raises:
        InputError: the model is none that goes on.
    """
    names = {layer.name for layer in model.layers}
    first = next((x for x in model.layers if x.name in ("stage1", "decoder1")), None)
    if "embedding" in names and isinstance(first, TransformerBlock) and first.causal:
        return TransformerSteps(model) if "encoder1" in names else GPTSteps(model)
    if first is not None and "logits" in names:
        return Seq2SeqSteps(model) if "encoder1" in names else RNNSteps(model)
    raise InputError(f"{model.name!r} is no model that says what comes next.")


def _numbered(model: keras.Model, prefix: str) -> list[keras.layers.Layer]:
    """Return the layers "PREFIX1", "PREFIX2" …."""
    names = {layer.name for layer in model.layers}
    found: list[keras.layers.Layer] = []
    while f"{prefix}{len(found) + 1}" in names:
        found.append(model.get_layer(f"{prefix}{len(found) + 1}"))
    return found


def _empty_caches(blocks: list[TransformerBlock], batch: Any, length: int) -> State:
    caches = []
    for block in blocks:
        attention = block.attention
        depth = attention.key_dense.kernel.shape[-1] // attention.num_heads
        shape = (batch, attention.num_heads, length, depth)
        caches.append(tuple(ops.zeros(shape, dtype=block.compute_dtype) for _ in range(2)))
    return tuple(caches)


def _after(layer: keras.layers.Layer, x: Any, state: State) -> tuple[Any, State]:
    """Return a recurrent layer's output and state after one more token."""
    x, new = layer.cell(x, list(state), training=False)
    return x, tuple(new) if isinstance(new, list | tuple) else (new,)


class _Attentive:
    """What looks at a source: a step is a look whose attention nobody asks for."""

    def look(
        self, ids: Any, place: Any, state: State, constants: Constants
    ) -> tuple[Any, State, Any]:
        raise NotImplementedError

    def step(self, ids: Any, place: Any, state: State, constants: Constants) -> tuple[Any, State]:
        """Read a token; see `Steps`."""
        logits, state, _ = self.look(ids, place, state, constants)
        return logits, state


class TransformerSteps(_Attentive):
    """A `zoo.sequence.transformer`, with keys and values kept."""

    def __init__(self, model: keras.Model) -> None:
        self.embed, self.positions = map(model.get_layer, ("embedding", "target_positions"))
        self.blocks = _numbered(model, "decoder")
        last = _numbered(model, "encoder")[-1]
        self.norm, memory = None, last.output
        if "decoder_norm" in {layer.name for layer in model.layers}:
            self.norm = model.get_layer("decoder_norm")
            memory = model.get_layer("encoder_norm").output
        self.encoder = keras.Model(model.input["source"], memory)
        self.vocabulary_size = self.embed.vocabulary_size

    def start(self, source: Any, length: int) -> tuple[State, Constants]:
        """Read the source; see `Steps`."""
        memory = self.encoder(source, training=False)
        caches = tuple(block.memory_attention.keys_and_values(memory) for block in self.blocks)
        state = _empty_caches(self.blocks, ops.shape(source)[0], length)
        return state, (caches, places_bias(source))

    def look(
        self, ids: Any, place: Any, state: State, constants: Constants
    ) -> tuple[Any, State, Any]:
        """Read a token, and also return the last block's attention `(batch, num_heads, places)`."""
        memories, bias = constants
        # The axes are added here, and not in `start`: where TensorFlow fuses attention on a CPU
        # (grappler's remapper, for oneDNN), it takes output 0 of the operation that a bias of four
        # axes comes from. What `start` made would come from output 1 of the loop's Switch, and the
        # loop would answer with nothing.
        bias = ops.expand_dims(ops.expand_dims(bias, 1), 1)
        x = self.positions(self.embed(ops.expand_dims(ids, 1)), start=place)
        caches: list[Any] = []
        weights: Any = None
        for block, cache, memory in zip(self.blocks, state, memories, strict=True):
            x, cache, weights = block.step(x, place, cache, memory, bias)
            caches.append(cache)
        x = self.norm(x) if self.norm else x
        return self.embed(x, reverse=True)[:, 0], tuple(caches), weights[:, :, 0]


class GPTSteps:
    """A `zoo.sequence.gpt`, with keys and values kept."""

    def __init__(self, model: keras.Model) -> None:
        self.embed, self.positions = map(model.get_layer, ("embedding", "positions"))
        self.blocks, self.norm = _numbered(model, "stage"), model.get_layer("norm")
        self.vocabulary_size = self.embed.vocabulary_size
        self.max_length = self.positions.max_length

    def start(self, source: Any, length: int) -> tuple[State, Constants]:
        """Return empty caches; see `Steps`.

        Raises:
            InputError: the model has fewer positions.
        """
        if length > self.max_length:
            raise InputError(
                f"the model has {self.max_length} positions: it cannot write {length} tokens."
            )
        return _empty_caches(self.blocks, ops.shape(source)[0], length), ()

    def step(self, ids: Any, place: Any, state: State, constants: Constants) -> tuple[Any, State]:
        """Read a token; see `Steps`."""
        x = self.positions(self.embed(ops.expand_dims(ids, 1)), start=place)
        caches = []
        for block, cache in zip(self.blocks, state, strict=True):
            x, cache, _ = block.step(x, place, cache)
            caches.append(cache)
        return self.embed(self.norm(x), reverse=True)[:, 0], tuple(caches)


class RNNSteps:
    """A `zoo.sequence.rnn.rnn_language_model`, with its states carried."""

    def __init__(self, model: keras.Model) -> None:
        self.embed, self.logits = map(model.get_layer, ("embedding", "logits"))
        self.layers = _numbered(model, "stage")
        self.vocabulary_size = self.logits.units

    def start(self, source: Any, length: int) -> tuple[State, Constants]:
        """Return states of zeros; see `Steps`."""
        batch = ops.shape(source)[0]
        return tuple(tuple(x.cell.get_initial_state(batch)) for x in self.layers), ()

    def step(self, ids: Any, place: Any, state: State, constants: Constants) -> tuple[Any, State]:
        """Read a token; see `Steps`."""
        x, states = self.embed(ids), []
        for layer, old in zip(self.layers, state, strict=True):
            x, new = _after(layer, x, old)
            states.append(new)
        return self.logits(x), tuple(states)


class Seq2SeqSteps(_Attentive):
    """A `zoo.sequence.seq2seq`, with its states carried and its source looked at."""

    def __init__(self, model: keras.Model) -> None:
        names = {layer.name for layer in model.layers}
        self.embed, self.logits = map(model.get_layer, ("target_embedding", "logits"))
        self.layers = _numbered(model, "decoder")
        luong = "attentional" in names
        self.attention = model.get_layer("attention") if luong else None
        self.attentional: Any = model.get_layer("attentional") if luong else None
        self.with_context = "context" in names
        states = []
        for encoder in _numbered(model, "encoder"):
            bridges = _numbered(model, f"{encoder.name}_bridge")
            states.append([x.output for x in bridges] if bridges else encoder.output[1:])
        memory = _numbered(model, "encoder")[-1].output[0]
        self.encoder = keras.Model(model.input["source"], [memory, states])
        self.vocabulary_size = self.logits.units

    def start(self, source: Any, length: int) -> tuple[State, Constants]:
        """Read the source; see `Steps`."""
        memory, states = self.encoder(source, training=False)
        keys = memory
        if isinstance(self.layers[0], AttentionDecoder):
            keys = self.layers[0].attention.of_memory(memory)
        context = states[-1][0]
        return tuple(map(tuple, states)), (memory, keys, places_bias(source), context)

    def look(
        self, ids: Any, place: Any, state: State, constants: Constants
    ) -> tuple[Any, State, Any]:
        """Read a token, and also return its attention `(batch, places)`, or `None`."""
        memory, keys, bias, context = constants
        words = x = self.embed(ids)
        if self.with_context:
            x = ops.concatenate([x, context], axis=-1)
        states, found, weights = [], None, None
        for layer, old in zip(self.layers, state, strict=True):
            if isinstance(layer, AttentionDecoder):
                found, weights, new = layer.step(x, old, memory, keys, bias)
                x = new[0]
            else:
                x, new = _after(layer, x, old)
            states.append(new)
        if self.attention:
            found, weights = self.attention(ops.expand_dims(x, 1), memory, bias)
            x = self.attentional(ops.concatenate([x, found[:, 0]], axis=-1))
            weights = weights[:, 0]
        elif found is not None:
            x = ops.concatenate([x, found, words], axis=-1)
        elif self.with_context:
            x = ops.concatenate([x, context, words], axis=-1)
        return self.logits(x), tuple(states), weights
