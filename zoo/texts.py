"""How texts become what a model reads: one convention for training, decoding and export."""

from collections.abc import Sequence

import numpy as np

from zoo.errors import InputError
from zoo.special_tokens import END, START
from zoo.tokenizer import Tokenizer, padded

# Name of a model's input -> whether its texts begin with the start token, and end with the end's.
FRAMES = {"ids": (True, False), "source": (False, True), "target": (True, True)}


def framed(
    tokenizer: Tokenizer, texts: Sequence[str], name: str, max_length: int | None = None
) -> list[list[int]]:
    """Return the numbers of each text's tokens, with the special ones around them.

    Args:
        tokenizer: of the input.
        texts: the texts.
        name: of the model's input: "ids", "source" or "target".
        max_length: greatest number of tokens, the special ones included; a longer text loses what
            stands behind. Default: any.

    Example:
        >>> from zoo.texts import framed
        >>> from zoo.tokenizer import Tokenizer
        >>> tokenizer = Tokenizer.train(["a b"], "words", min_frequency=1)
        >>> framed(tokenizer, ["b a b a"], "source", max_length=3)
        [[5, 4, 3]]
    """
    begins, ends = FRAMES[name]
    most = None if max_length is None else max_length - begins - ends
    if most is not None and most < 0:
        raise InputError(f"{max_length} tokens leave no room for a text.")
    return [[START] * begins + row[:most] + [END] * ends for row in tokenizer.encode(texts)]


def read(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    name: str,
    max_length: int | None = None,
    length: int | None = None,
) -> np.ndarray:
    """Return texts as an int32 array `(texts, length)`, padded behind.

    Args:
        tokenizer: of the input.
        texts: the texts.
        name: of the model's input.
        max_length: as in `framed`.
        length: of the array's rows; default that of the longest text.
    """
    return padded(framed(tokenizer, texts, name, max_length or length), length)
