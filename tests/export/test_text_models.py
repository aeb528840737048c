"""Language models go on from a prompt, classifiers take strings; how reports are judged."""

import json
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from texts import decided, described, reading, texts

import zoo
from export import Artifact, ParityReport, artifact, benchmark, check, export
from zoo.errors import CheckFailed, InputError
from zoo.sequence.decoding import sample
from zoo.sequence.steps import steps_of
from zoo.texts import read
from zoo.tokenizer import Tokenizer

LONGEST = 16
TEXT = "".join(
    f"{who} {does} {what}{mark} "
    for who in ("The king", "A fool", "My lady", "Some ghost")
    for does in ("sees", "loves", "hides", "mocks")
    for what in ("the crown", "a rose", "an old song", "no one")
    for mark in (".", "!", ";", "\n")
)
SENTENCES = TEXT.replace("\n", ".").split(". ")[:60]


@pytest.fixture(scope="module")
def characters() -> Tokenizer:
    return Tokenizer.train([TEXT], "characters", min_frequency=1)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return Tokenizer.train(SENTENCES[:30], "words", min_frequency=1, lowercase=True)


@pytest.fixture(scope="module")
def gpt(characters: Tokenizer) -> keras.Model:
    keras.utils.set_random_seed(1)
    arguments = {"width": 16, "depth": 1, "num_heads": 2, "max_length": 24}
    return decided(zoo.build("gpt", vocabulary_size=len(characters), **arguments))


@pytest.fixture(scope="module")
def lstm(characters: Tokenizer) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = zoo.build(
        "lstm_language_model", vocabulary_size=len(characters), embedding_dim=8, units=(16,)
    )
    return decided(model, 0.5)


@pytest.fixture(scope="module")
def of_strings(gpt: keras.Model, characters: Tokenizer, tmp_path_factory) -> Artifact:
    """The GPT as a SavedModel."""
    letters = np.array(list(TEXT))
    return export(
        gpt,
        tmp_path_factory.mktemp("gpt") / "out",
        "saved_model",
        tokenizers={"ids": characters},
        max_length=LONGEST,
        samples=(letters, letters),
    )


@pytest.fixture(scope="module")
def of_numbers(lstm: keras.Model, characters: Tokenizer, tmp_path_factory) -> Artifact:
    """The recurrent language model as a LiteRT file."""
    letters = np.array(list(TEXT))
    return export(
        lstm,
        tmp_path_factory.mktemp("lstm") / "out",
        tokenizers={"ids": characters},
        max_length=LONGEST,
        samples=(letters, letters),
    )


def cross_entropy(model: keras.Model, tokenizer: Tokenizer, window: int, count: int) -> float:
    """Return that of parts of the text which begin anew."""
    (tokens,) = tokenizer.encode([TEXT])
    rows = np.array(tokens[: window * count]).reshape(count, window)
    logits = model.predict(np.insert(rows[:, :-1], 0, 2, axis=1), verbose=0)
    return float(keras.losses.sparse_categorical_crossentropy(rows, logits, True).numpy().mean())


def test_a_language_model_is_compared_by_what_it_writes(
    gpt: keras.Model, lstm: keras.Model, of_strings: Artifact, of_numbers: Artifact, characters
) -> None:
    for one, model, window in ((of_strings, gpt, 24), (of_numbers, lstm, LONGEST)):
        report, count = one.parity, min(200, len(TEXT) // window)
        assert (report.metric, report.agreement, report.examples) == ("cross_entropy", 1.0, count)
        assert report.largest_difference < 1e-5
        expected = cross_entropy(model, characters, window, count)
        assert report.reference == pytest.approx(expected, rel=1e-5)
        assert report.value == pytest.approx(expected, rel=1e-5)


def test_a_prompt_of_characters_is_gone_on_from(
    gpt: keras.Model, of_strings: Artifact, characters: Tokenizer
) -> None:
    assert described(of_strings)["generate"] == (
        {"prompt": ("string", [None]), "temperature": ("float32", []), "seed": ("int32", [])},
        ["answers", "text"],
    )
    prompts = ["The king ", "A", ""]
    call, steps = reading(of_strings), steps_of(gpt)

    def generated(temperature: float, seed: int) -> dict[str, np.ndarray]:
        heat, seeded = np.array(temperature, "float32"), np.array(seed, "int32")
        inputs = {"prompt": np.array(prompts), "temperature": heat, "seed": seeded}
        return call(inputs, "generate")

    ids = read(characters, prompts, "source")[:, :-1] * 1
    ids[ids == 3] = 0
    for temperature, seed in ((0.0, 1), (0.8, 1), (0.8, 2)):
        got = generated(temperature, seed)
        expected = np.asarray(
            sample(steps, ids, LONGEST, temperature=temperature, seed=seed, prompt=ids)
        )
        np.testing.assert_array_equal(got["answers"], expected)
        assert texts(got["text"]) == characters.decode(expected)
        for text, prompt in zip(texts(got["text"]), prompts, strict=True):
            assert text.startswith(prompt)
    assert (generated(0.8, 1)["answers"] != generated(0.8, 2)["answers"]).any()


@pytest.mark.slow
def test_forms_are_compared_on_texts_of_one_length(
    lstm: keras.Model, characters: Tokenizer
) -> None:
    letters = np.array(list(TEXT))
    rows = benchmark(
        lstm, formats=["saved_model", "litert"], samples=(letters, letters), rounds=1, seconds=0.01,
        tokenizers={"ids": characters}, max_length=LONGEST,
    )  # fmt: skip
    count = min(200, len(TEXT) // LONGEST)
    expected = cross_entropy(lstm, characters, LONGEST, count)
    for row in rows:
        assert row.why_not == ""
        assert row.value == pytest.approx(
            expected, rel=0.01 if row.quantization == "dynamic" else 1e-4
        )


def test_who_asks_a_litert_file_draws_the_chance(lstm: keras.Model, of_numbers: Artifact) -> None:
    inputs = {
        "prompt": ("int32", [1, None]),
        "temperature": ("float32", []),
        "draws": ("float32", [1, LONGEST]),
    }
    assert described(of_numbers)["generate"] == (inputs, ["answers"])
    assert described(of_numbers)["serving_default"][0] == {"ids": ("int32", [1, LONGEST])}
    call, steps, random = reading(of_numbers), steps_of(lstm), np.random.default_rng(0)
    written = []
    for temperature in (0.0, 0.7, 1.5):
        prompt = random.integers(4, 20, (1, int(10 * temperature) or 1)).astype("int32")
        draws = random.random((1, LONGEST), "float32")
        heat = np.array(temperature, "float32")
        got = call({"prompt": prompt, "temperature": heat, "draws": draws}, "generate")["answers"]
        expected = sample(
            steps, prompt, LONGEST, temperature=temperature, draws=draws, prompt=prompt
        )
        np.testing.assert_array_equal(got, expected)
        written.append(got)
    assert len(np.unique(np.concatenate(written), axis=0)) == 3


def test_more_tokens_than_positions_are_refused(
    gpt: keras.Model, characters: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="has 24 positions: it cannot write 25 tokens"):
        export(gpt, tmp_path / "out", tokenizers={"ids": characters}, max_length=25, verify=False)


@pytest.fixture(scope="module")
def classifier(words: Tokenizer) -> keras.Model:
    keras.utils.set_random_seed(1)
    arguments: dict[str, Any] = {"embedding_dim": 8, "units": (12,), "bidirectional": True}
    return decided(zoo.build("lstm_classifier", vocabulary_size=len(words), **arguments))


def test_a_classifier_takes_strings(
    classifier: keras.Model, words: Tokenizer, tmp_path: Path
) -> None:
    labels, targets = ["sad", "glad"], np.arange(len(SENTENCES)) % 2
    made = export(
        classifier,
        tmp_path / "out",
        "saved_model",
        tokenizers={"ids": words},
        labels=labels,
        samples=(np.array(SENTENCES), targets),
        source_length=9,
    )
    assert made.parity.largest_difference < 1e-5
    assert (made.parity.agreement, made.parity.metric) == (1.0, "accuracy")
    answers = ["probabilities", "class_index", "label"]
    assert described(made) == {
        "serving_default": ({"ids": ("int32", [None, None])}, answers),
        "texts": ({"texts": ("string", [None])}, answers),
    }
    asked = ["The KING sees\n a penguin", "", "My lady loves a rose, and mocks no one at all"]
    got = reading(made)({"texts": np.array(asked)}, "texts")
    # Each alone, and not padded.
    expected = [classifier.predict(read(words, [text], "ids", 9), verbose=0)[0] for text in asked]
    np.testing.assert_allclose(got["probabilities"], expected, atol=1e-6)
    assert texts(got["label"]) == [labels[np.argmax(row)] for row in expected]


def test_a_classifier_on_a_phone_takes_padded_numbers(
    classifier: keras.Model, words: Tokenizer, tmp_path: Path
) -> None:
    made = export(
        classifier,
        tmp_path / "out",
        tokenizers={"ids": words},
        samples=(np.array(SENTENCES), None),
        source_length=12,
    )
    assert described(made) == {
        "serving_default": ({"ids": ("int32", [1, 12])}, ["probabilities", "class_index"])
    }
    assert made.parity.largest_difference < 1e-5
    assert made.manifest.tokenizers["ids"].file == "tokenizer.json"
    ids = read(words, SENTENCES[:1], "ids")
    (padded,) = reading(made)({"ids": read(words, SENTENCES[:1], "ids", 12, 12)})["probabilities"]
    np.testing.assert_allclose(padded, classifier.predict(ids, verbose=0)[0], atol=1e-5)


def test_an_artifact_from_before_texts_is_read() -> None:
    old = {
        "name": "lenet5", "task": "classification", "format": "litert", "quantization": "int8",
        "inputs": [], "outputs": [], "labels": [], "preprocessing": "", "features": [],
        "source": "", "source_sha256": "", "files": {}, "versions": {}, "parity": None,
    }  # fmt: skip
    manifest = msgspec.json.decode(json.dumps(old), type=artifact.Manifest)
    assert manifest.tokenizers == manifest.signatures == {}
    with pytest.raises(InputError, match="no signature of 'lenet5' 'greddy'"):
        manifest.signature("greddy")


REPORT = ParityReport(
    format="litert",
    quantization="float32",
    bytes=100,
    examples=200,
    largest_difference=1e-6,
    mean_difference=1e-7,
    agreement=1.0,
    metric="bleu",
    reference=38.0,
    value=38.0,
    milliseconds=0.1,
    reference_milliseconds=1.0,
)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"agreement": 0.995}, "other texts than the Keras model for 1 of 200 examples"),
        ({"metric": "cross_entropy", "agreement": 0.99}, "for 2 of 200"),
        ({"largest_difference": 1e-3}, "differs from the Keras model"),
        ({"quantization": "dynamic", "value": 37.4}, r"loses 0\.60 points of bleu .* than 0\.5"),
        (
            {"quantization": "dynamic", "metric": "cross_entropy", "reference": 1.4, "value": 1.42},
            r"loses 2\.00 points of cross_entropy .* than 1\.",
        ),
        ({"quantization": "dynamic", "value": None, "agreement": 0.9}, "10.00 points of agreement"),
    ],
)
def test_texts_that_are_not_good_enough_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckFailed, match=words):
        check(msgspec.structs.replace(REPORT, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"quantization": "dynamic", "value": 37.6, "agreement": 0.7, "largest_difference": 0.1},
        {"quantization": "dynamic", "value": 39.0},
        {"quantization": "dynamic", "metric": "cross_entropy", "reference": 1.4, "value": 1.405},
        {"quantization": "dynamic", "metric": "cross_entropy", "reference": 1.4, "value": 1.3},
    ],
)
def test_texts_that_are_good_enough_pass(fields: dict[str, Any]) -> None:
    check(msgspec.structs.replace(REPORT, **fields))


def test_a_limit_of_bleu_is_counted_in_points() -> None:
    lost = msgspec.structs.replace(REPORT, quantization="dynamic", value=36.5)
    check(lost, max_drop=1.6)
    with pytest.raises(CheckFailed, match=r"loses 1\.50 points"):
        check(lost, max_drop=1.4)
