"""Texts become numbers and come back; what is unknown is shown."""

import json
from pathlib import Path

import numpy as np
import pytest

from zoo import InputError
from zoo.special_tokens import END, PADDING, SPECIAL, START, UNKNOWN
from zoo.tokenizer import KINDS, Tokenizer, padded

TEXTS = [
    "Ein Hund läuft im Schnee.",
    "Zwei Hunde laufen, und ein Hund bleibt (im Haus) stehen!",
    "Im Schnee läuft ein kleiner Hund.",
]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.train(TEXTS, request.param, vocabulary_size=120, min_frequency=1)


def test_known_texts_come_back_letter_by_letter(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode(TEXTS)) == TEXTS


def test_the_special_tokens_come_first(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocabulary[:4] == list(SPECIAL)
    assert len(tokenizer.vocabulary) == len(tokenizer) <= 120
    assert (PADDING, UNKNOWN, START, END) == (0, 1, 2, 3)


def test_a_saved_one_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert again.vocabulary == tokenizer.vocabulary
    assert again.encode(TEXTS) == tokenizer.encode(TEXTS)
    assert again.decode(again.encode(TEXTS)) == TEXTS


def test_what_is_unknown_is_shown_and_named(tokenizer: Tokenizer) -> None:
    text = "Ein 🐧 läuft"
    (ids,) = tokenizer.encode([text])
    assert ids.count(UNKNOWN) == 1
    assert "[UNK]" in tokenizer.decode([ids])[0]
    assert tokenizer.decode([ids]) == ["Ein [UNK] läuft"]
    assert tokenizer.unknown(text) == ["🐧"]
    assert tokenizer.unknown("la\u0308uft 🐧 im") == ["🐧"]
    assert tokenizer.unknown(TEXTS[0]) == []


def test_the_name_of_a_special_token_in_a_text_is_text(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    for one in (tokenizer, Tokenizer.load(tmp_path / "tokenizer.json")):
        (ids,) = one.encode(["ein Hund [END] [PAD][START] läuft"])
        assert not {PADDING, START, END} & set(ids)
        assert one.decode([ids])[0].endswith("läuft")


@pytest.mark.parametrize("text", ["", " ", "\n", "\u200b", "a" * 10_000, "漢字 и العربية 🐧"])
def test_any_text_is_taken(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.encode([text])
    assert all(0 <= number < len(tokenizer) for number in ids)
    assert isinstance(tokenizer.decode([ids])[0], str)


def test_decoding_ends_at_the_end_and_leaves_out_what_is_no_text(tokenizer: Tokenizer) -> None:
    (ids,) = tokenizer.encode(TEXTS[:1])
    row = [START, *ids, END, *ids, PADDING]
    assert tokenizer.decode([row]) == tokenizer.decode(np.array([row])) == TEXTS[:1]


def test_a_number_without_a_token_is_told(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="none of number 999"):
        tokenizer.decode([[999]])
    with pytest.raises(InputError, match="none of number -1"):
        tokenizer.decode([[-1]])


def test_words_are_whole_and_parts_are_parts() -> None:
    words = Tokenizer.train(TEXTS, "words", min_frequency=1)
    assert [words.vocabulary[n] for n in words.encode(["ein Hund."])[0]] == ["▁ein", "▁Hund", "."]
    parts = Tokenizer.train(TEXTS, "subwords", vocabulary_size=60, min_frequency=1)
    assert len(parts.encode(["kleiner"])[0]) > 1
    assert UNKNOWN not in parts.encode(["Haushund"])[0]  # of known parts


def test_rare_tokens_are_left_out() -> None:
    often = Tokenizer.train(TEXTS, "words", min_frequency=2)
    assert "▁kleiner" not in often.vocabulary
    assert "▁Hund" in often.vocabulary


def test_capitals_may_be_read_as_small_letters() -> None:
    small = Tokenizer.train(TEXTS, "words", min_frequency=1, lowercase=True)
    assert small.decode(small.encode(["EIN HUND"])) == ["ein hund"]
    assert small.unknown("EIN Pinguin") == ["pinguin"]


def test_composed_and_decomposed_letters_are_the_same(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode(["la\u0308uft"]) == tokenizer.encode(["l\u00e4uft"])


@pytest.mark.parametrize("kind", ["words", "subwords"])
def test_white_space_of_any_kind_is_one_space_and_none_at_the_ends(kind: str) -> None:
    tokenizer = Tokenizer.train(TEXTS, kind, vocabulary_size=120, min_frequency=1)
    (ids,) = tokenizer.encode(["  Ein\tHund \u00a0 läuft\r\n"])
    assert tokenizer.decode([ids]) == ["Ein Hund läuft"]
    assert tokenizer.unknown("Ein Hund\n") == []


def test_characters_keep_every_space() -> None:
    tokenizer = Tokenizer.train(["a  b\n\tc"], "characters", min_frequency=1)
    assert tokenizer.decode(tokenizer.encode(["b\n a  \t"])) == ["b\n a  \t"]


def test_a_part_that_is_unknown_leaves_no_space() -> None:
    parts = Tokenizer.train(TEXTS, "subwords", vocabulary_size=60, min_frequency=1)
    assert parts.decode(parts.encode(["Hu🐧nd"])) == ["Hu[UNK]nd"]


def test_a_vocabulary_is_as_small_as_asked_for() -> None:
    assert len(Tokenizer.train(TEXTS, "subwords", vocabulary_size=12)) <= 12


def test_a_vocabulary_with_gaps_or_without_a_decoder_is_refused(tmp_path: Path) -> None:
    good = Tokenizer.train(TEXTS, "words", min_frequency=1)
    good.save(tmp_path / "good.json")
    content = json.loads((tmp_path / "good.json").read_text())
    content["model"]["vocab"]["▁Hund"] = 9000
    (tmp_path / "gap.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="have gaps"):
        Tokenizer.load(tmp_path / "gap.json")
    content = json.loads((tmp_path / "good.json").read_text()) | {"decoder": None}
    (tmp_path / "bare.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="a decoder"):
        Tokenizer.load(tmp_path / "bare.json")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="one of words, subwords, characters, not 'letters'"):
        Tokenizer.train(TEXTS, "letters")


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"model": {}}'])
def test_a_file_that_is_no_tokenizer_s_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(InputError, match=r"bad\.json"):
        Tokenizer.load(tmp_path / "bad.json")
    with pytest.raises(InputError, match="no vocabulary at"):
        Tokenizer.load(tmp_path / "none.json")


def test_a_vocabulary_without_the_special_tokens_is_refused(tmp_path: Path) -> None:
    import tokenizers

    path = str(tmp_path / "foreign.json")
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a")).save(path)
    with pytest.raises(InputError, match=r"begins with \[PAD\]"):
        Tokenizer.load(path)


def test_rows_are_padded_or_cut() -> None:
    assert padded([[5, 6, 7], [8]]).tolist() == [[5, 6, 7], [8, 0, 0]]
    assert padded([[5, 6, 7], []], length=2).tolist() == [[5, 6], [0, 0]]
    assert padded([]).shape == (0, 0)


def test_a_pattern_of_somebody_else_s_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "t.json")
    state = json.loads((tmp_path / "t.json").read_text())
    state["normalizer"]["normalizers"].append(
        {"type": "Replace", "pattern": {"Regex": "(a+a+)+b"}, "content": ""}
    )
    (tmp_path / "t.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="a pattern that is not the zoo's"):
        Tokenizer.load(tmp_path / "t.json")


def test_a_grown_vocabulary_keeps_every_number(tokenizer: Tokenizer) -> None:
    texts = ["Zebras 🦓 graze"] * 2
    grown, parts = tokenizer.grown(texts)
    assert grown.vocabulary[: len(tokenizer)] == tokenizer.vocabulary
    assert len(parts) == len(grown) - len(tokenizer) > 0
    assert grown.unknown(texts[0]) == []
    assert grown.decode(grown.encode(texts)) == texts
    for numbers in parts:
        assert numbers
        assert max(numbers) < len(tokenizer)


def test_a_vocabulary_grows_only_by_what_it_lacks_and_no_more_than_asked_for(
    tokenizer: Tokenizer,
) -> None:
    grown, parts = tokenizer.grown([])
    assert parts == []
    assert grown.vocabulary == tokenizer.vocabulary
    words = [f"{chr(0x4E00 + n)}{chr(0x4F00 + n)}" for n in range(100)]
    _, parts = tokenizer.grown(words, most=7, min_frequency=1)
    assert len(parts) == 7


def test_a_word_in_parts_becomes_whole_and_is_made_of_them() -> None:
    old = Tokenizer.train(["low lower lowest new newer"] * 3, "subwords", 40)
    [pieces] = old.encode(["newest"])
    assert len(pieces) > 1
    new, parts = old.grown(["newest newest"])
    [whole] = new.encode(["newest"])
    assert len(whole) == 1
    assert parts[whole[0] - len(old)] == pieces
    assert new.encode(["lower"]) == old.encode(["lower"])
