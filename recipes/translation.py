"""Sentences in, sentences out: a model's decoding, compiled, with its tokenizers around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import InputError
from zoo.sequence.decoding import beam as beam_search
from zoo.sequence.decoding import greedy
from zoo.sequence.steps import steps_of
from zoo.special_tokens import END, PADDING, START
from zoo.texts import framed, read
from zoo.tokenizer import Tokenizer, padded

_AT_ONCE = 32  # sentences
_ROUND = 64  # lengths of answers are rounded up to a multiple, so that few graphs are traced


@dataclass(frozen=True)
class Translation:
    """One answer.

    Attributes:
        text: the sentence.
        score: its log-probability, divided by a power of its length (see `decoding.beam`); 0 for a
            greedy answer, which keeps none.
        tokens: numbers of its tokens, without special ones.
    """

    text: str
    score: float
    tokens: tuple[int, ...]


class Translator:
    """Translates sentences.

    Args:
        model: a model of `zoo.sequence` for translation.
        tokenizers: of its inputs "source" and "target".
        max_length: greatest number of tokens of an answer; default: twice the source's, and 16.

    Raises:
        InputError: the model does not translate.

    Example:
        >>> import zoo
        >>> from recipes import Translator
        >>> name = "transformer-multi30k-de-en"
        >>> translator = Translator(zoo.load(name), zoo.load_tokenizers(name))
        >>> [[best]] = translator(["Ein Hund läuft im Schnee."])
        >>> best.text
        'A dog runs in the snow.'
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizers: Mapping[str, Tokenizer],
        max_length: int | None = None,
    ) -> None:
        if set(tokenizers) != {"source", "target"}:
            raise InputError(f"{model.name!r} does not translate.")
        self.tokenizers, self.max_length = tokenizers, max_length
        self.steps = steps_of(model)
        self._decoder = cache(self._compiled)

    def __call__(
        self, texts: Sequence[str], beam: int = 1, nbest: int = 1, length_penalty: float = 0.6
    ) -> list[list[Translation]]:
        """Translate.

        Args:
            texts: the sentences.
            beam: number of beginnings that are kept; 1 takes the likeliest token at every place.
            nbest: number of answers to each sentence, at most `beam`.
            length_penalty: of a beam search.

        Returns:
            For each sentence its answers, the best first; to one of white space alone, an empty
            one.
        """
        if not 1 <= nbest <= beam:
            raise InputError(
                f"nbest lies between 1 and the width of the beam, {beam}: not {nbest}."
            )
        rows = framed(self.tokenizers["source"], texts, "source")
        answers: list[list[Translation]] = [[Translation("", 0.0, ())] for _ in texts]
        lengths = [len(row) for row in rows]  # an empty sentence is its end token
        order = [i for i in np.argsort(lengths, kind="stable") if lengths[i] > 1]
        for start in range(0, len(order), _AT_ONCE):
            part = order[start : start + _AT_ONCE]
            source = padded([rows[i] for i in part])
            length = self.max_length or 2 * source.shape[1] + 16
            length = -(-length // _ROUND) * _ROUND if self.max_length is None else length
            decode = self._decoder(beam, length, float(length_penalty))
            ids, scores = (np.asarray(x) for x in decode(source))
            for i, row, values in zip(part, ids, scores, strict=True):
                answers[i] = self._answers(row[:nbest], values)
        return answers

    def _answers(self, ids: np.ndarray, scores: np.ndarray) -> list[Translation]:
        texts = self.tokenizers["target"].decode(ids)
        return [
            Translation(text, float(score), _before_end(row))
            for text, score, row in zip(texts, scores, ids, strict=False)
        ]

    def _compiled(self, beam: int, length: int, length_penalty: float) -> Any:
        """Return source -> answers `(batch, beam, length)` and scores `(batch, beam)`."""

        def decode(source: tf.Tensor) -> tuple[Any, Any]:
            if beam > 1:
                return beam_search(self.steps, source, length, beam, length_penalty)
            answers = greedy(self.steps, source, length)
            return answers[:, None], tf.zeros((tf.shape(source)[0], 1))

        spec = tf.TensorSpec((None, None), tf.int32)
        return tf.function(decode, [spec], autograph=False)


def attention_of(
    model: keras.Model,
    tokenizers: Mapping[str, Tokenizer],
    text: str,
    answer: Translation,
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return where a model looked at each token of an answer.

    Args:
        model: built with `return_attention`.
        tokenizers: of its inputs.
        text: the source.
        answer: to it.

    Returns:
        float32 weights `(target tokens, source tokens)`, the mean over the heads where there are
        some; and the tokens of both sides, the end tokens included.
    """
    source = read(tokenizers["source"], [text], "source")
    target = np.array([[START, *answer.tokens]], "int32")
    weights = np.asarray(model({"source": source, "target": target}, training=False)["attention"])
    while weights.ndim > 2:  # the batch, and the heads
        weights = weights.mean(axis=1) if weights.ndim == 4 else weights[0]
    names = (tokenizers[key].vocabulary for key in ("source", "target"))
    own, other = (
        [vocabulary[n] for n in ids]
        for vocabulary, ids in zip(names, (source[0], [*answer.tokens, END]), strict=True)
    )
    return weights, own, other


def _before_end(row: np.ndarray) -> tuple[int, ...]:
    numbers = [int(n) for n in row]
    if END in numbers:
        numbers = numbers[: numbers.index(END)]
    return tuple(n for n in numbers if n != PADDING)
