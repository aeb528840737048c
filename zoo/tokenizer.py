"""Text as numbers of tokens, and back: words, parts of words, or characters."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from zoo.errors import InputError
from zoo.files import whole_file
from zoo.special_tokens import END, PADDING, SPECIAL, START, UNKNOWN

KINDS = ("words", "subwords", "characters")
_WHITE, _ANY = r"\s+", r"[\s\S]"
_SPACE = "▁"  # stands for the space before a word, so that decoding puts it back
MOST_BYTES = 32 << 20  # of a tokenizer's file
MOST_TOKENS = 1 << 20
_ROUNDS = 3  # in which words that are in parts become whole: one can undo what another needs


class Tokenizer:
    """A vocabulary, and how texts are cut into what stands in it.

    What is not in the vocabulary becomes the token "[UNK]", which decoding shows. A special token's
    name in a text is text. But for characters, white space is one space, and none at the ends.

    - "words": words and marks of punctuation.
    - "subwords": *Neural Machine Translation of Rare Words with Subword Units*, Sennrich, Haddow &
      Birch 2015, https://arxiv.org/abs/1508.07909. Frequent words are whole, rare ones in parts.
    - "characters": one by one.

    Args:
        inner: of the library `tokenizers`; see `Tokenizer.train` and `Tokenizer.load`.

    Example:
        >>> from zoo.tokenizer import Tokenizer
        >>> tokenizer = Tokenizer.train(["a dog runs", "a cat runs"], "words", min_frequency=1)
        >>> tokenizer.decode(tokenizer.encode(["a cow runs"]))
        ['a [UNK] runs']
    """

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        self.inner = inner
        found = [inner.id_to_token(number) for number in range(len(SPECIAL))]
        if found != list(SPECIAL):
            raise InputError(f"a vocabulary begins with {', '.join(SPECIAL)}, not with {found}.")
        if sorted(inner.get_vocab().values()) != list(range(len(self))):
            raise InputError("the numbers of a vocabulary's tokens have gaps.")
        if None in (inner.normalizer, inner.pre_tokenizer, inner.decoder):
            raise InputError("a tokenizer has a normalizer and a decoder, and this one has not.")
        _refuse_foreign(json.loads(inner.to_str()))
        inner.encode_special_tokens = True
        inner.no_truncation()
        inner.no_padding()

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        kind: str = "subwords",
        vocabulary_size: int = 8_000,
        min_frequency: int = 2,
        lowercase: bool = False,
    ) -> "Tokenizer":
        """Take the most frequent tokens of some texts as the vocabulary.

        Args:
            texts: the texts.
            kind: "words", "subwords" or "characters".
            vocabulary_size: greatest number of tokens, the four special ones included.
            min_frequency: of a token that is taken in.
            lowercase: whether capitals are read as small letters.

        Raises:
            InputError: there is no such kind, or a number out of its range.
        """
        if kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
        whole = isinstance(vocabulary_size, int) and isinstance(min_frequency, int)
        if not whole or not len(SPECIAL) < vocabulary_size <= MOST_TOKENS or min_frequency < 1:
            raise InputError(
                f"vocabulary_size lies between {len(SPECIAL)} and {MOST_TOKENS:,}, and "
                f"min_frequency is at least 1: not {vocabulary_size!r} and {min_frequency!r}."
            )
        settings: dict[str, Any] = {
            "vocab_size": vocabulary_size,
            "min_frequency": min_frequency,
            "special_tokens": list(SPECIAL),
            "show_progress": False,
        }
        if kind == "subwords":
            letters = max(1, vocabulary_size - len(SPECIAL))
            trainer: Any = trainers.BpeTrainer(**settings, limit_alphabet=letters)
            inner = tokenizers.Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]))
        else:
            trainer = trainers.WordLevelTrainer(**settings)
            inner = tokenizers.Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        steps: list[Any] = [normalizers.NFC()]
        if lowercase:
            steps.append(normalizers.Lowercase())
        if kind != "characters":
            steps += [normalizers.Replace(Regex(_WHITE), " "), normalizers.Strip()]
        inner.normalizer = normalizers.Sequence(steps)
        if kind == "characters":
            inner.pre_tokenizer = pre_tokenizers.Split(Regex(_ANY), "isolated")
            inner.decoder = decoders.Fuse()
        else:
            inner.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation("isolated")]
            )
            inner.decoder = decoders.Metaspace()
        inner.train_from_iterator(texts, trainer)
        return cls(inner)

    def grown(
        self, texts: Iterable[str], most: int = 1_000, min_frequency: int = 2
    ) -> "tuple[Tokenizer, list[list[int]]]":
        """Return a tokenizer with further tokens, for texts that this one was not trained on.

        Every number keeps its token. New are, the most frequent first: of words, those that are not
        in the vocabulary; of characters and of subwords, the unknown characters, however rare; and
        then, of subwords, the words that are in parts now.

        Args:
            texts: the texts.
            most: greatest number of new tokens.
            min_frequency: of a word that is taken in.

        Returns:
            The tokenizer, and for each new token the numbers of those that it is made of here:
            a model can begin with the mean of their vectors.

        Example:
            >>> from zoo.tokenizer import Tokenizer
            >>> old = Tokenizer.train(["a dog", "a cat"], "words", min_frequency=1)
            >>> new, parts = old.grown(["a cow", "a cow"])
            >>> new.decode(new.encode(["a cow"])), parts
            (['a cow'], [[1]])
        """
        state = json.loads(self.inner.to_str())
        vocabulary: dict[str, int] = state["model"]["vocab"]
        pieces = Counter(
            piece
            for text in texts
            for piece, _ in self.inner.pre_tokenizer.pre_tokenize_str(
                self.inner.normalizer.normalize_str(text)
            )
        )
        frequent = [piece for piece, count in pieces.most_common() if count >= min_frequency]
        letters: Counter[str] = Counter()
        for piece, count in pieces.items():
            letters.update(dict.fromkeys(piece, count))
        strange = [letter for letter, _ in letters.most_common() if letter not in vocabulary]
        subwords = isinstance(self.inner.model, models.BPE)
        words = isinstance(self.inner.decoder, decoders.Metaspace) and not subwords
        added: list[str] = []

        def add(token: str) -> None:
            if token not in vocabulary:
                vocabulary[token] = len(vocabulary)
                added.append(token)

        for token in frequent if words else strange:
            if len(added) < most:
                add(token)
        for _ in range(_ROUNDS if subwords else 0):
            known = tokenizers.Tokenizer.from_str(json.dumps(state))
            for piece in frequent:
                whole, *rest = [token.value for token in known.model.tokenize(piece)]
                if len(added) + len(rest) > most:
                    break
                for part in rest:  # what comes out on the way is a token, too
                    state["model"]["merges"].append([whole, part])
                    whole += part
                    add(whole)
        made_of = [[token.id for token in self.inner.model.tokenize(text)] for text in added]
        result = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(state)))
        return result, [ids or [UNKNOWN] for ids in made_of]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """Read a tokenizer's JSON file.

        Raises:
            InputError: it is none, or too large.
        """
        try:
            if Path(path).stat().st_size > MOST_BYTES:
                raise InputError(f"{path} is larger than any vocabulary here.")
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except FileNotFoundError:
            raise InputError(f"there is no vocabulary at {path}.") from None
        except InputError:
            raise
        except Exception as error:  # the library raises nothing more special
            raise InputError(f"{path} is no tokenizer's file: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as a JSON file."""
        with whole_file(Path(path)) as temporary:
            self.inner.save(str(temporary))

    @property
    def vocabulary(self) -> list[str]:
        """The tokens, in the order of their numbers."""
        numbers = self.inner.get_vocab()
        return sorted(numbers, key=numbers.__getitem__)

    def __len__(self) -> int:
        return self.inner.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each text's tokens.

        Raises:
            InputError: a text holds half a character, as bytes in another encoding become.
        """
        rows = self.inner.encode_batch(list(map(_whole, texts)), add_special_tokens=False)
        return [row.ids for row in rows]

    def decode(self, ids: Iterable[Iterable[int]]) -> list[str]:
        """Return the texts of some tokens: up to the end token, without start and padding.

        Args:
            ids: rows of token numbers.

        Raises:
            InputError: the vocabulary has no such number.
        """
        texts = []
        for row in np.asarray(ids) if isinstance(ids, np.ndarray) else ids:
            numbers = [int(number) for number in row]
            if END in numbers:
                numbers = numbers[: numbers.index(END)]
            tokens = [self._shown(n) for n in numbers if n not in (PADDING, START)]
            texts.append(self.inner.decoder.decode(tokens))
        return texts

    def _shown(self, number: int) -> str:
        whole = isinstance(self.inner.model, models.WordLevel)
        spaced = isinstance(self.inner.decoder, decoders.Metaspace)
        if number == UNKNOWN and whole and spaced:  # it stands for a word and its space
            return f"{_SPACE}{SPECIAL[UNKNOWN]}"
        token = self.inner.id_to_token(number) if number >= 0 else None
        if token is None:
            raise InputError(f"the vocabulary has {len(self)} tokens, and none of number {number}.")
        return token

    def unknown(self, text: str) -> list[str]:
        """Return the parts of a text that are not in the vocabulary, in order, as it is read."""
        text = self.inner.normalizer.normalize_str(_whole(text))
        row = self.inner.encode(text, add_special_tokens=False)
        places = zip(row.ids, row.offsets, strict=True)
        return [text[slice(*place)].strip() or " " for n, place in places if n == UNKNOWN]


def _whole(text: str) -> str:
    """Return a text, unless it holds half a character: the library raises what tells nothing."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError("the text holds half a character: is it in UTF-8?") from None
    return text


def _refuse_foreign(state: dict[str, Any]) -> None:
    """Refuse a tokenizer of parts that `Tokenizer.train` does not make.

    A pattern of somebody else's could take a year for a text of a line.

    Raises:
        InputError: it has such a part.
    """
    if state["model"].get("unk_token") != SPECIAL[UNKNOWN]:
        raise InputError(f"a tokenizer's unknown token is {SPECIAL[UNKNOWN]}, and not this one's.")

    def patterns(part: Any) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(patterns, part))
        if not isinstance(part, dict):
            return set()
        own = {part["Regex"]} if isinstance(part.get("Regex"), str) else set()
        return own.union(*map(patterns, part.values()))

    found = patterns([state["normalizer"], state["pre_tokenizer"], state["decoder"]])
    if strange := found - {_WHITE, _ANY}:
        raise InputError(f"the tokenizer has a pattern that is not the zoo's: {min(strange)!r}.")


def padded(rows: Sequence[Sequence[int]], length: int | None = None) -> np.ndarray:
    """Return rows of ids as one int32 array, padded behind, or cut, to a length.

    Args:
        rows: of token numbers.
        length: of each row; default that of the longest.
    """
    length = max(map(len, rows), default=0) if length is None else length
    result = np.zeros((len(rows), length), "int32")
    for place, row in enumerate(rows):
        result[place, : min(len(row), length)] = row[:length]
    return result
