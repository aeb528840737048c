"""Text that goes on: a language model's sampling, compiled, with its tokenizer around it."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.text_evaluation import positions_of
from zoo.errors import InputError
from zoo.sequence.decoding import sample
from zoo.sequence.steps import Constants, State, Steps, steps_of
from zoo.special_tokens import SPECIAL
from zoo.tokenizer import Tokenizer

_ROUND = 64  # lengths are rounded up to a multiple, so that few graphs are traced


class Generator:
    """Writes on from a prompt.

    A model with positions reads no more tokens than it has of them: of a longer text, it is given
    the second half of what fits, and goes on from there.

    Args:
        model: a language model of `zoo.sequence`.
        tokenizers: of its input "ids".

    Raises:
        InputError: the model is none.

    Example:
        >>> import zoo
        >>> from recipes import Generator
        >>> name = "lstm-shakespeare"
        >>> generator = Generator(zoo.load(name), zoo.load_tokenizers(name))
        >>> [text] = generator("ROMEO:", length=20, temperature=0)
        >>> len(text)
        20
    """

    def __init__(self, model: keras.Model, tokenizers: Mapping[str, Tokenizer]) -> None:
        if set(tokenizers) != {"ids"}:
            raise InputError(f"{model.name!r} does not write on.")
        [self.tokenizer] = tokenizers.values()
        self.steps, self.most = _Text(steps_of(model)), positions_of(model)
        self._sampler = cache(self._compiled)

    def __call__(
        self,
        prompt: str = "",
        length: int = 200,
        count: int = 1,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """Write.

        Args:
            prompt: how the text begins.
            length: number of tokens that are written.
            count: number of texts.
            temperature: what the logits are divided by; 0 takes the likeliest token.
            top_k: draw only from the so many likeliest; 0: from all.
            top_p: draw only from the fewest that have this probability together.
            seed: of the draws: the same seed writes the same texts.

        Returns:
            What comes behind the prompt, once for each text.
        """
        if length < 1 or count < 1 or seed < 0:
            raise InputError(
                f"length and count are at least 1, and seed at least 0: not {length}, {count} and "
                f"{seed}."
            )
        [row] = self.tokenizer.encode([prompt])
        texts = np.tile(np.array(row, "int32"), (count, 1))
        wanted = len(row) + length
        while texts.shape[1] < wanted:
            kept = texts
            if self.most and texts.shape[1] >= self.most:
                kept = texts[:, texts.shape[1] - self.most // 2 :]
            room = -(-(kept.shape[1] + wanted - texts.shape[1]) // _ROUND) * _ROUND
            room = min(room, self.most) if self.most else room
            draw = self._sampler(room, temperature, top_k, top_p)
            # Another seed for each stretch, or each would draw the same numbers.
            chance = np.random.default_rng([seed, texts.shape[1]]).random((count, room))
            answers = np.asarray(draw(kept, chance.astype("float32")))
            texts = np.concatenate([texts, answers[:, kept.shape[1] :]], axis=1)
        # Decoded as a whole: of words, the first would lose the space before it.
        [head] = self.tokenizer.decode([row])
        return [text[len(head) :] for text in self.tokenizer.decode(texts[:, :wanted])]

    def _compiled(self, length: int, temperature: float, top_k: int, top_p: float) -> Any:
        """Return prompts and draws -> texts `(batch, length)`, the prompts included."""

        def draw(prompt: tf.Tensor, draws: tf.Tensor) -> Any:
            # One place of padding: a prompt of no tokens is one, too.
            given = tf.pad(prompt, [[0, 0], [0, 1]])
            return sample(
                self.steps,
                prompt,
                length,
                temperature,
                top_k,
                top_p,
                prompt=given,
                end=None,
                draws=draws,
            )

        ids, chance = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, length))
        # Without autograph, which nothing here needs, an error comes out as it is.
        return tf.function(draw, [ids, chance], autograph=False)


class _Text:
    """Steps of a language model that never writes a special token, which a text has none of."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.vocabulary_size = steps, steps.vocabulary_size
        self.forbidden = np.zeros(steps.vocabulary_size, "float32")
        self.forbidden[: len(SPECIAL)] = -1e9

    def start(self, source: Any, length: int) -> tuple[State, Constants]:
        """Return what is known before the first token; see `Steps`."""
        return self.steps.start(source, length)

    def step(self, ids: Any, place: Any, state: State, constants: Constants) -> tuple[Any, State]:
        """Read a token; see `Steps`."""
        logits, state = self.steps.step(ids, place, state, constants)
        return logits + self.forbidden, state
