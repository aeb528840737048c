"""A graph reads and writes texts as the tokenizer does; what it cannot is known."""

import json

import pytest
import tensorflow as tf
import tokenizers

from export.graph_tokenizer import kind_of, reader, writer
from zoo.special_tokens import END, START
from zoo.texts import FRAMES, framed, read
from zoo.tokenizer import KINDS, Tokenizer

TEXTS = [
    "Ein Hund läuft im Schnee.",
    "Zwei Hunde laufen, und ein Hund bleibt (im Haus) stehen!",
    "Im Schnee läuft ein kleiner Hund.",
]
ODD = [
    "",
    " ",
    "  Ein\tHund \u00a0 läuft\r\n\u2003im\u3000Schnee ",
    "Ein 🐧 läuft 👩‍👩‍👧 im Schnee",
    "Ein Pinguin läuft",
    "(im Haus)!?..",
    "▁ a▁b ▁▁ c",
    "[UNK] [PAD][END]",
    "EIN HUND ΟΔΟΣ İ ẞ",
    "x$y+z<=>^`|~ „q“ «r» – ₤ €_",
    "Hund\u200bHund\x1cHund",
    "漢字 и العربية",
]


@pytest.fixture(scope="module", params=[(kind, low) for kind in KINDS for low in (False, True)])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    kind, lowercase = request.param
    result = Tokenizer.train(TEXTS, kind, 120, min_frequency=1, lowercase=lowercase)
    assert kind_of(result) == (kind, lowercase)
    return result


def encoded(tokenizer: Tokenizer, texts: list[str], name: str, longest: int) -> list[list[int]]:
    ids = reader(tokenizer).encode(tf.constant(texts), FRAMES[name], longest, longest)
    assert ids.dtype == tf.int32
    return ids.numpy().tolist()


def test_odd_texts_are_read_alike(tokenizer: Tokenizer) -> None:
    if kind_of(tokenizer)[0] == "subwords":
        assert reader(tokenizer) is None
        return
    for name in FRAMES:
        for longest in (4, 90):
            expected = read(tokenizer, ODD + TEXTS, name, longest, longest)
            assert encoded(tokenizer, ODD + TEXTS, name, longest) == expected.tolist()


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("kind", ["words", "characters"])
def test_real_sentences_are_read_alike(multi30k, kind: str, lowercase: bool, language: str) -> None:
    train, test = multi30k("train", 500)[language], multi30k("test", 1000)[language]
    tokenizer = Tokenizer.train(train, kind, 1000, lowercase=lowercase)
    assert any(map(tokenizer.unknown, test))
    assert (
        encoded(tokenizer, test, "source", 50) == read(tokenizer, test, "source", 50, 50).tolist()
    )


def test_without_a_greatest_length_rows_are_as_long_as_the_longest(tokenizer: Tokenizer) -> None:
    if (graph := reader(tokenizer)) is None:
        return
    ids = graph.encode(tf.constant(TEXTS), (False, True))
    assert ids.numpy().tolist() == read(tokenizer, TEXTS, "source").tolist()
    plain = graph.encode(tf.constant(TEXTS[:1]), (False, False)).numpy().tolist()
    assert plain == tokenizer.encode(TEXTS[:1])


def test_texts_are_written_alike(tokenizer: Tokenizer) -> None:
    (ids,) = framed(tokenizer, ["Ein 🐧 läuft (im Haus)."], "target")
    rows = [ids, [START, 4, END, 5, 6], [END], [0, 0, 1, 1, 7], list(range(len(tokenizer)))]
    rows = [[*row, *[0] * (130 - len(row))] for row in rows]
    written = writer(tokenizer).decode(tf.constant([rows]))
    assert written.shape == (1, len(rows))
    assert [text.decode() for text in written[0].numpy()] == tokenizer.decode(rows)


def test_letters_are_taken_as_they_are_composed() -> None:
    tokenizer = Tokenizer.train(TEXTS, "words", min_frequency=1)
    composed, decomposed = encoded(tokenizer, ["l\u00e4uft", "la\u0308uft"], "source", 2)
    assert composed[0] == tokenizer.vocabulary.index("▁läuft")
    assert decomposed[0] == 1


def test_a_tokenizer_from_elsewhere_stays_outside() -> None:
    own = Tokenizer.train(TEXTS, "words", min_frequency=1)
    content = json.loads(own.inner.to_str())
    content["normalizer"]["normalizers"][0]["type"] = "NFKC"
    other = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(content)))
    assert kind_of(other) == ("", False)
    assert reader(other) is None
    assert writer(other) is None
