"""Batches of tokens: whole, of like length, the same after an interruption."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recipes import load_data
from recipes.data import Examples, Splits
from recipes.data.text_batches import Batches, Rows, text_batches
from recipes.data.texts import as_characters
from zoo import InputError
from zoo.special_tokens import END, PADDING, START
from zoo.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def pairs() -> Splits:
    """Eight hundred pairs of one to twenty words; a target has a word more than its source."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> Examples:
        sources = [" ".join(rng.choice(list("abcdef"), rng.integers(1, 21))) for _ in range(count)]
        return Examples(np.array(sources), np.array([f"x {s}" for s in sources]))

    tokenizer = Tokenizer.train(["a b c d e f x"], "words", min_frequency=1)
    return Splits(
        draw(800), draw(50), draw(50), "translation", (), "pairs", "none",
        tokenizers={"source": tokenizer, "target": tokenizer},
    )  # fmt: skip


@pytest.fixture(scope="module")
def counted() -> Splits:
    """A text whose characters are counted up, so that every place can be told."""
    characters = [chr(0x4E00 + n) for n in range(5000)]
    tokenizer = Tokenizer.train(characters, "characters", 6000, min_frequency=1)
    # Numbers as they are counted, behind the special ones.
    text = tokenizer.decode([range(4, 5004)])[0]
    parts = [as_characters(text[a:b]) for a, b in ((0, 4000), (4000, 4500), (4500, 5000))]
    return Splits(
        *(Examples(part, part) for part in parts),
        "language_modeling", (), "counted", "none", tokenizers={"ids": tokenizer},
    )  # fmt: skip


def listed(batches: Batches) -> list[Any]:
    return list(batches.training.as_numpy_iterator())


def test_an_epoch_shows_every_pair_once_and_little_padding(pairs: Splits) -> None:
    batches = text_batches(pairs, 32, 64, range(1), 0)
    found, places, padded = [], 0, 0
    for inputs, labels in listed(batches):
        assert 31 <= len(labels) <= 32
        for array in (inputs["source"], labels):
            places, padded = places + array.size, padded + (array == PADDING).sum()
        found += pairs.tokenizers["target"].decode(labels)
    assert sorted(found) == sorted(pairs.train.targets)
    assert len(listed(batches)) == batches.steps == 25
    assert padded / places == pytest.approx(batches.padding, abs=0.02)
    assert padded / places < 0.1


def test_the_decoder_reads_what_it_should_have_said_before(pairs: Splits) -> None:
    tokenizer = pairs.tokenizers["target"]
    for inputs, labels in listed(text_batches(pairs, 32, 64, range(1), 0))[:5]:
        for source, read, said in zip(inputs["source"], inputs["target"], labels, strict=True):
            length = (said != PADDING).sum()
            assert read[0] == START
            assert said[length - 1] == END
            np.testing.assert_array_equal(read[1:length], said[: length - 1])
            assert (read[length:] == PADDING).all()
            # As words, padding passes for nothing.
            assert tokenizer.decode([said]) == [f"x {tokenizer.decode([source])[0]}"]


def test_an_epoch_is_the_same_whether_it_is_come_to_or_begun_with(pairs: Splits) -> None:
    steps = text_batches(pairs, 32, 64, range(1), 0).steps
    second = listed(text_batches(pairs, 32, 64, range(2), 7))[steps:]
    resumed = listed(text_batches(pairs, 32, 64, range(1, 2), 7))
    other = listed(text_batches(pairs, 32, 64, range(1, 2), 8))
    for (_, one), (_, same) in zip(second, resumed, strict=True):
        np.testing.assert_array_equal(one, same)
    assert any(not np.array_equal(a, b) for (_, a), (_, b) in zip(resumed, other, strict=True))


def test_pairs_that_are_too_long_are_not_learned_from_but_validated(pairs: Splits) -> None:
    batches = text_batches(pairs, 32, 12, range(1), 0)
    short = sum(len(text.split()) + 2 <= 12 for text in pairs.train.targets)
    assert batches.left_out == 800 - short > 100
    assert sum(len(labels) for _, labels in listed(batches)) == short
    assert sum(len(y) for _, y in batches.validation.as_numpy_iterator()) == 50
    with pytest.raises(InputError, match="no pair of 'pairs' has at most 2 tokens"):
        text_batches(pairs, 32, 2, range(1), 0)


def test_texts_with_classes_are_cut_and_weighted(pairs: Splits) -> None:
    targets = np.arange(800) % 2
    data = replace(
        pairs,
        train=Examples(pairs.train.inputs, targets),
        validation=Examples(pairs.validation.inputs, targets[:50]),
        task="classification",
        labels=("no", "yes"),
        tokenizers={"ids": pairs.tokenizers["source"]},
    )
    batches = text_batches(data, 32, 10, range(1), 0, class_weights=[1.0, 3.0])
    seen = 0
    for ids, classes, weights in listed(batches):
        assert ids.shape[1] <= 10
        assert (ids[:, 0] == START).all()
        np.testing.assert_array_equal(weights, 1 + 2 * classes[:, 1])
        seen += len(ids)
    assert seen == 800
    _, _, weights = next(batches.validation.as_numpy_iterator())
    assert (weights == 1).all()


def test_windows_of_one_text_are_whole_and_begin_elsewhere_in_each_epoch(counted: Splits) -> None:
    batches = text_batches(counted, 8, 16, range(2), 0)
    windows = [
        row for inputs, labels in listed(batches) for row in zip(inputs, labels, strict=True)
    ]
    first, second = windows[: len(windows) // 2], windows[len(windows) // 2 :]
    starts = []
    for epoch in (first, second):
        for inputs, labels in epoch:
            assert inputs[0] == START
            np.testing.assert_array_equal(inputs[1:], labels[:-1])
            np.testing.assert_array_equal(labels, labels[0] + np.arange(16))
        numbers = [int(labels[0]) for _, labels in epoch]
        assert len(set(numbers)) == len(numbers) >= 4000 // 16 - 2
        assert numbers != sorted(numbers)
        starts.append(numbers[0] % 16)
    assert starts[0] != starts[1]


def test_carried_windows_go_on_from_batch_to_batch(counted: Splits) -> None:
    batches = text_batches(counted, 8, 16, range(1), 0, carried=True)
    found = listed(batches)
    assert len(found) == batches.steps == (4000 - 16) // (8 * 16)
    assert (found[0][0][:, 0] == START).all()
    for (_, before), (inputs, labels) in itertools.pairwise(found):
        np.testing.assert_array_equal(inputs[:, 0], before[:, -1])
        np.testing.assert_array_equal(labels[:, 0], before[:, -1] + 1)
    streams = np.concatenate([labels for _, labels in found], axis=1)
    assert len(np.unique(streams)) == streams.size
    assert [x.shape for x, _ in batches.validation.as_numpy_iterator()] == [(8, 16)] * 3


def test_a_text_that_is_too_short_for_its_windows_is_refused(counted: Splits) -> None:
    with pytest.raises(InputError, match=r"windows of 100 \(max_length\) in 32 parts"):
        text_batches(counted, 32, 100, range(1), 0, carried=True)


def test_rows_are_padded_behind() -> None:
    rows = Rows.of([[1, 2, 3], [], [4], [5, 6]])
    assert rows.lengths.tolist() == [3, 0, 1, 2]
    padded = rows.padded(np.array([2, 0, 1]))
    assert padded.tolist() == [[4, 0, 0], [1, 2, 3], [0, 0, 0]]


def test_real_pairs_leave_little_padding(needs: Callable[[str], None]) -> None:
    needs("multi30k-de-en")
    data = load_data("multi30k-de-en").limited(8000)
    every = [*data.train.inputs.tolist(), *data.train.targets.tolist()]
    tokenizer = Tokenizer.train(every, "subwords", 4000)
    data = replace(data, tokenizers={"source": tokenizer, "target": tokenizer})
    assert text_batches(data, 64, 64, range(1), 0).padding < 0.1
