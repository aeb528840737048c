"""A Keras model that reads text, with the signatures by which it is asked for texts.

| task | signature | takes | gives |
|---|---|---|---|
| any | `serving_default` | numbers of tokens | logits or probabilities |
| translation | `greedy` | sources | `answers`, `text` |
| translation | `beam` | sources | `answers`, `text`, `scores`, the best first |
| language modelling | `generate` | `prompt`, `temperature`, chance | `answers`, `text` |
| classification | `texts` | texts | as `serving_default` |

Where the format holds strings and `export.graph_tokenizer` can read as the tokenizer does, sources,
prompts and texts are strings `(batch,)`, in NFC; else int32 numbers of tokens `(batch, places)`,
padded behind, with the special tokens that `zoo.texts` puts around them (a prompt has none). `text`
is there where the format holds strings; the signature `texts` where they can be read.

Chance is a `seed`, int32, where the format can draw, and else `draws`, float32 `(batch,
max_length)` from 0 to below 1: whoever asks draws them. A temperature of 0 takes the likeliest
token.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from export.artifact import Decoding
from export.graph_tokenizer import reader, writer
from export.servable import Servable
from zoo.errors import InputError
from zoo.layers import AttentionDecoder, LearnedPositions
from zoo.sequence.decoding import beam, greedy, sample
from zoo.sequence.steps import steps_of
from zoo.texts import FRAMES
from zoo.tokenizer import Tokenizer

INPUTS = {
    "translation": ("source", "target"),
    "language_modeling": ("ids",),
    "classification": ("ids",),
}


class TextServable(Servable):
    """A model that reads text; see the module.

    Args:
        model: a built `keras.Model`.
        task: "translation", "language_modeling" or "classification".
        tokenizers: name of each input -> how texts become its numbers.
        decoding: how it writes.
        labels: names of the classes.
        all_ops: whether the format holds strings, chance, and loops of any size.
        batch: a fixed number of texts, or `None` for any.
        fixed: whether every length is fixed, to the greatest.
        decodes: whether it gets the ways of writing texts, beside `serving_default`.

    Raises:
        InputError: the model's inputs are not those of the task, or too short for `decoding`.
    """

    def __init__(
        self,
        model: keras.Model,
        task: str,
        tokenizers: Mapping[str, Tokenizer],
        decoding: Decoding,
        labels: Sequence[str] = (),
        all_ops: bool = False,
        batch: int | None = None,
        fixed: bool = False,
        decodes: bool = True,
    ) -> None:
        _check_inputs(model, task, tokenizers)
        lengths = lengths_of(model, decoding, task)
        super().__init__(model, task, labels, all_ops, batch, lengths if fixed else None)
        self.decoding, self.batch, self.all_ops = decoding, batch, all_ops
        read = INPUTS[task][0]
        self.read, self.longest = read, lengths[read]
        self.length = next(t.shape[1] for t in model.inputs if t.name == read)
        self.reader = reader(tokenizers[read]) if all_ops else None
        self.writer = writer(tokenizers[INPUTS[task][-1]]) if all_ops else None
        self.module.tokenizers = [x for x in (self.reader, self.writer) if x]
        self.reading = "texts are numbers of tokens: see the vocabularies beside the model"
        if self.reader:
            self.reading = "texts are strings in UTF-8 and NFC; numbers in serving_default"
        if not decodes:
            return
        if task == "classification":
            self._classification()
        elif task == "translation":
            self._translation(decoding)
        else:
            self._language_model(decoding)

    def _classification(self) -> None:
        if self.reader:
            texts = tf.TensorSpec((self.batch,), tf.string, name="texts")
            self.add("texts", lambda given: self.inference([self._ids(given[0])]), [texts])

    def _translation(self, decoding: Decoding) -> None:
        steps, settings = steps_of(self.model), decoding
        places = next(t.shape[1] for t in self.inputs if t.name == "source")
        source = tf.TensorSpec((self.batch, places), tf.int32, name="source")
        if self.reader:
            source = tf.TensorSpec((self.batch,), tf.string, name="source")

        def likeliest(given: list[Any]) -> dict[str, Any]:
            return self._with_text(greedy(steps, self._ids(given[0]), settings.max_length))

        def best(given: list[Any]) -> dict[str, Any]:
            answers, scores = beam(
                steps,
                self._ids(given[0]),
                settings.max_length,
                settings.beam_width,
                settings.length_penalty,
            )
            return self._with_text(answers) | {"scores": scores}

        self.add("greedy", likeliest, [source], autograph=False)
        self.add("beam", best, [source], autograph=False)

    def _language_model(self, decoding: Decoding) -> None:
        steps, longest = steps_of(self.model), decoding.max_length
        prompt = tf.TensorSpec((self.batch, None), tf.int32, name="prompt")
        if self.reader:
            prompt = tf.TensorSpec((self.batch,), tf.string, name="prompt")
        chance = tf.TensorSpec((self.batch, longest), tf.float32, name="draws")
        if self.all_ops:
            chance = tf.TensorSpec((), tf.int32, name="seed")

        def generate(given: list[Any]) -> dict[str, Any]:
            ids, temperature, draws = given
            if self.reader:
                ids = self.reader.encode(ids, (False, False))
            if self.all_ops:
                draws = tf.random.stateless_uniform((tf.shape(ids)[0], longest), [draws, 0])
            ids = tf.pad(ids, [[0, 0], [0, 1]])  # an empty prompt has a place, too
            answers = sample(steps, ids, longest, temperature, prompt=ids, draws=draws)
            return self._with_text(answers)

        temperature = tf.TensorSpec((), tf.float32, name="temperature")
        self.add("generate", generate, [prompt, temperature, chance], autograph=False)

    def _ids(self, given: Any) -> Any:
        """Return what was given as the numbers of tokens."""
        if not self.reader:
            return given
        return self.reader.encode(given, FRAMES[self.read], self.longest, self.length)

    def _with_text(self, answers: Any) -> dict[str, Any]:
        """Return answers, and the texts of them."""
        return {"answers": answers} | ({"text": self.writer.decode(answers)} if self.writer else {})


def task_of_texts(tokenizers: Mapping[str, Tokenizer], task: str) -> str:
    """Return what a model that reads texts does, given what it would do if it read none."""
    if task == "classification":
        return task
    return "translation" if "target" in tokenizers else "language_modeling"


def lengths_of(model: keras.Model, decoding: Decoding, task: str) -> dict[str, int | None]:
    """Return the greatest number of tokens of each input, or `None` where there is none."""
    read = INPUTS[task][0]
    positions = [x.max_length for x in model.layers if isinstance(x, LearnedPositions)]
    result: dict[str, int | None] = {}
    for tensor in model.inputs:
        asked = decoding.source_length if tensor.name == read else decoding.max_length
        limits = [n for n in (tensor.shape[1], asked, *positions) if n is not None]
        result[tensor.name] = min(limits, default=None)
    return result


def is_recurrent(model: keras.Model) -> bool:
    """Return whether a model has loops over its inputs, which LiteRT wants to be of fixed size."""
    parts = [
        part
        for layer in model.layers
        if isinstance(layer, keras.layers.Layer)
        for part in layer._flatten_layers()
    ]
    loops = [x for x in parts if isinstance(x, keras.layers.RNN) and not x.unroll]
    return bool(loops) or any(isinstance(x, AttentionDecoder) for x in parts)


def _check_inputs(model: keras.Model, task: str, tokenizers: Mapping[str, Tokenizer]) -> None:
    names = [tensor.name for tensor in model.inputs]
    wanted = INPUTS.get(task)
    if wanted is None:
        raise InputError(f"texts are for {', '.join(INPUTS)}, not for {task!r}.")
    if not set(names) == set(wanted) == set(tokenizers):
        raise InputError(
            f"a model for {task} reads {', '.join(wanted)}; {model.name!r} reads "
            f"{', '.join(names)}, and there are tokenizers for {', '.join(tokenizers) or 'none'}."
        )
    if task == "classification":
        return
    scored, tokens = steps_of(model).vocabulary_size, len(tokenizers[wanted[-1]])
    if scored != tokens:
        raise InputError(f"{model.name!r} scores {scored} tokens, and the vocabulary has {tokens}.")
