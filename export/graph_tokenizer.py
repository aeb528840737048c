"""A tokenizer as TensorFlow operations, for a SavedModel that takes and gives strings.

What the graph reads like `zoo.tokenizer`: white space of any kind, capitals, words and marks of
punctuation, characters. What it does not:

- Texts are taken as they are composed. TensorFlow cannot bring them to NFC: who calls the
  signature does, where letters may come decomposed (from file names of macOS, for one).
- Some hundred punctuation marks and capitals of rare scripts, which are younger than one of the two
  Unicode tables, differ.
- Subwords cannot be read at all, since merging is a loop over pairs; they can be written.
"""

import json
from typing import Any

import tensorflow as tf

from zoo.special_tokens import END, PADDING, SPECIAL, START, UNKNOWN
from zoo.tokenizer import KINDS, Tokenizer

_WHITE_SPACE = r"[\t-\r\x{85}\p{Z}]+"
_PUNCTUATION = r"([[:punct:]]|\p{P})"
_SPACE = "▁"  # as in `zoo.tokenizer`


class Reader(tf.Module):
    """Texts to numbers of tokens.

    Args:
        tokenizer: of "words" or "characters".
        lowercase: whether capitals are read as small letters.
        characters: whether tokens are characters.
    """

    def __init__(self, tokenizer: Tokenizer, lowercase: bool, characters: bool) -> None:
        super().__init__()
        self.lowercase, self.characters = lowercase, characters
        tokens = tokenizer.vocabulary[len(SPECIAL) :]  # the special ones' names are text
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(tokens, tf.string),
                tf.range(len(SPECIAL), len(tokenizer), dtype=tf.int64),
            ),
            default_value=UNKNOWN,
        )

    def encode(
        self,
        texts: Any,
        frame: tuple[bool, bool],
        longest: int | None = None,
        length: int | None = None,
    ) -> Any:
        """Return the numbers of texts' tokens with the special ones around them, padded behind.

        Args:
            texts: strings `(batch,)`.
            frame: whether the texts begin with the start token, and end with the end's; of a
                model's inputs, see `zoo.texts.FRAMES`.
            longest: greatest number of tokens, the special ones included, or `None` for any.
            length: of the rows; default that of the longest.

        Returns:
            int32 `(batch, places)`.
        """
        begins, ends = frame
        ids = tf.cast(self.table.lookup(self._pieces(texts)), tf.int32)
        ids = ids if longest is None else ids[:, : longest - begins - ends]
        batch = tf.shape(texts)[0]
        parts = [tf.fill((batch, 1), START)] * begins + [ids] + [tf.fill((batch, 1), END)] * ends
        return tf.concat(parts, axis=1).to_tensor(PADDING, shape=(None, length))

    def _pieces(self, texts: Any) -> Any:
        if self.lowercase:
            # ICU would make a small final sigma of a capital one at a word's end.
            texts = tf.strings.regex_replace(texts, "Σ", "σ")
            texts = tf.strings.lower(texts, encoding="utf-8")
        if self.characters:
            return tf.strings.unicode_split(texts, "UTF-8")
        texts = tf.strings.strip(tf.strings.regex_replace(texts, _WHITE_SPACE, " "))
        texts = tf.strings.regex_replace(texts, " ", _SPACE)
        texts = tf.strings.regex_replace(texts, f"^([^{_SPACE}])", rf"{_SPACE}\1")
        # No white space is left: what is put in now only separates.
        texts = tf.strings.regex_replace(texts, _SPACE, f" {_SPACE}")
        return tf.strings.split(tf.strings.regex_replace(texts, _PUNCTUATION, r" \1 "))


class Writer(tf.Module):
    """Numbers of tokens to texts, of any kind of tokenizer.

    Args:
        tokenizer: the tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        # A token may look otherwise at the beginning of a text: it has no space before it.
        self.first = tf.constant([tokenizer.decode([[n]])[0] for n in range(len(tokenizer))])
        start = len(tokenizer.decode([[UNKNOWN]])[0])
        self.later = tf.constant(
            [tokenizer.decode([[UNKNOWN, n]])[0][start:] for n in range(len(tokenizer))]
        )

    def decode(self, ids: Any) -> Any:
        """Return the texts of int32 `(…, length)`, up to the end token: strings `(…)`."""
        ended = tf.cumsum(tf.cast(ids == END, tf.int32), axis=-1) > 0
        shown = ~ended & (ids != PADDING) & (ids != START)
        begins = shown & (tf.cumsum(tf.cast(shown, tf.int32), axis=-1) == 1)
        pieces = tf.where(begins, tf.gather(self.first, ids), tf.gather(self.later, ids))
        return tf.strings.reduce_join(tf.where(shown, pieces, ""), axis=-1)


def reader(tokenizer: Tokenizer) -> Reader | None:
    """Return what reads texts in a graph as a tokenizer does, or `None` where nothing can."""
    kind, lowercase = kind_of(tokenizer)
    if kind not in ("words", "characters"):
        return None
    return Reader(tokenizer, lowercase, kind == "characters")


def writer(tokenizer: Tokenizer) -> Writer | None:
    """Return what writes texts in a graph as a tokenizer does, or `None` where nothing can."""
    return Writer(tokenizer) if kind_of(tokenizer)[0] else None


def kind_of(tokenizer: Tokenizer) -> tuple[str, bool]:
    """Return the kind of a tokenizer that this zoo has trained, and whether it reads capitals.

    Returns:
        The kind, "" for one from elsewhere; and whether capitals are read as small letters.
    """
    form = _form(tokenizer)
    for kind in KINDS:
        for lowercase in (False, True):
            if _form(Tokenizer.train([], kind, lowercase=lowercase)) == form:
                return kind, lowercase
    return "", False


def _form(tokenizer: Tokenizer) -> list[Any]:
    content = json.loads(tokenizer.inner.to_str())
    parts = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    return [content["model"]["type"], *(content[part] for part in parts)]
