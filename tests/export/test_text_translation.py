"""Translation leaves Python with its decoding: the same tokens, strings where they are possible."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from texts import decided, described, operations, reading, texts

import zoo
from export import Artifact, export, text_parity, verify
from zoo.errors import InputError
from zoo.sequence.decoding import beam, greedy
from zoo.sequence.steps import steps_of
from zoo.special_tokens import END
from zoo.surgery import copy
from zoo.texts import read
from zoo.tokenizer import Tokenizer

LONGEST, WIDTH, PENALTY = 12, 3, 0.8
SETTINGS: dict[str, Any] = {
    "max_length": LONGEST, "beam_width": WIDTH, "length_penalty": PENALTY, "verify": False,
}  # fmt: skip
EXAMPLE = Path(__file__).parents[2] / "docs" / "litert_translate.py"
Sentences = Callable[[str, int], dict[str, list[str]]]


class Translator:
    """A model, its vocabularies, and what it is tried on."""

    def __init__(self, model: keras.Model, source: Tokenizer, target: Tokenizer) -> None:
        self.model, self.tokenizers = decided(model), {"source": source, "target": target}

    def ids(self, sentences: list[str], longest: int | None = None, length: int | None = None):
        return read(self.tokenizers["source"], sentences, "source", longest, length)

    def greedy(self, ids: np.ndarray) -> np.ndarray:
        return np.asarray(greedy(steps_of(self.model), ids, LONGEST))

    def export(self, path: Path, *form: str, **options: Any) -> Artifact:
        return export(self.model, path, *form, tokenizers=self.tokenizers, **(SETTINGS | options))


@pytest.fixture(scope="module")
def transformer(multi30k: Sentences) -> Translator:
    keras.utils.set_random_seed(1)
    train = multi30k("train", 300)
    shared = Tokenizer.train(train["de"] + train["en"], "subwords", 500)
    model = zoo.build("transformer", vocabulary_size=len(shared), width=16, depth=2, num_heads=2)
    translator, norm = Translator(model, shared, shared), model.get_layer("decoder_norm")
    # One table for input and output repeats tokens forever, unless what is in between turns them.
    norm.gamma.assign(np.random.default_rng(2).normal(size=16))
    norm.beta.assign(2.75 * np.asarray(model.get_layer("embedding").table)[END])
    return translator


@pytest.fixture(scope="module")
def recurrent(multi30k: Sentences) -> Translator:
    keras.utils.set_random_seed(1)
    train = multi30k("train", 300)
    source, target = (
        Tokenizer.train(train[language], "words", 400, lowercase=True) for language in ("de", "en")
    )
    model = zoo.build(
        "gru_attention",
        source_vocabulary_size=len(source),
        target_vocabulary_size=len(target),
        embedding_dim=12,
        units=16,
    )
    return Translator(model, source, target)


@pytest.fixture(scope="module")
def sentences(multi30k: Sentences) -> tuple[np.ndarray, np.ndarray]:
    test = multi30k("test", 200)
    return np.array(test["de"]), np.array(test["en"])


@pytest.fixture(scope="module")
def any_size(transformer: Translator, sentences, tmp_path_factory) -> Artifact:
    """The transformer as a LiteRT file, compared on 200 sentences."""
    out = tmp_path_factory.mktemp("any_size") / "out"
    return transformer.export(out, samples=sentences, verify=True)


@pytest.fixture(scope="module")
def fixed_size(recurrent: Translator, sentences, tmp_path_factory) -> Artifact:
    """The recurrent model as a LiteRT file, compared on 200 sentences."""
    out = tmp_path_factory.mktemp("fixed_size") / "out"
    return recurrent.export(out, samples=sentences, verify=True, source_length=20)


@pytest.fixture(scope="module")
def of_strings(recurrent: Translator, sentences, tmp_path_factory) -> Artifact:
    """The recurrent model as a SavedModel, compared on 50 sentences."""
    out, samples = tmp_path_factory.mktemp("of_strings") / "out", [x[:50] for x in sentences]
    return recurrent.export(out, "saved_model", samples=samples, verify=True)


@pytest.mark.parametrize("name", ["any_size", "fixed_size"])
def test_all_tokens_of_200_sentences_are_the_keras_model_s(
    request: pytest.FixtureRequest, name: str
) -> None:
    report = request.getfixturevalue(name).parity
    assert (report.examples, report.agreement, report.metric) == (200, 1.0, "bleu")
    assert report.largest_difference <= 1e-5
    assert report.value == report.reference >= 0
    assert 0 < report.mean_difference <= report.largest_difference
    assert report.milliseconds > 0
    assert report.reference_milliseconds > 0


def test_answers_differ_from_sentence_to_sentence(
    transformer: Translator, recurrent: Translator, sentences
) -> None:
    for one in (transformer, recurrent):
        answers = one.greedy(one.ids(sentences[0][:40].tolist()))
        assert len(np.unique(answers, axis=0)) > 15
        assert len(np.unique(answers)) > 8
    assert (
        0.1
        < (transformer.greedy(transformer.ids(sentences[0].tolist())) == END).any(1).mean()
        < 0.9
    )


def test_one_file_holds_three_signatures_of_built_in_operations(any_size: Artifact) -> None:
    ids = ("int32", [None, None])
    assert described(any_size) == {
        "serving_default": ({"source": ids, "target": ids}, ["logits"]),
        "greedy": ({"source": ids}, ["answers"]),
        "beam": ({"source": ids}, ["answers", "scores"]),
    }
    found = operations(any_size.path / "model.tflite")
    assert {"WHILE", "TOPK_V2"} <= found
    assert "CUSTOM" not in found
    assert not [name for name in found if name.startswith("FLEX")]


def test_a_recurrent_file_reads_one_text_of_fixed_length(fixed_size: Artifact) -> None:
    source = ("int32", [1, 20])
    assert described(fixed_size) == {
        "serving_default": ({"source": source, "target": ("int32", [1, LONGEST])}, ["logits"]),
        "greedy": ({"source": source}, ["answers"]),
        "beam": ({"source": source}, ["answers", "scores"]),
    }
    assert fixed_size.manifest.decoding.source_length == 20


@pytest.mark.parametrize("count", [1, 3])
def test_a_transformer_takes_any_batch_and_length(
    transformer: Translator, any_size: Artifact, sentences, count: int
) -> None:
    call = reading(any_size)
    for part in (sentences[0][:count], sentences[0][10 : 10 + count]):
        ids = transformer.ids(part.tolist())
        np.testing.assert_array_equal(
            call({"source": ids}, "greedy")["answers"], transformer.greedy(ids)
        )
        answers, scores = beam(steps_of(transformer.model), ids, LONGEST, WIDTH, PENALTY)
        found = call({"source": ids}, "beam")
        np.testing.assert_array_equal(found["answers"][:, 0], answers[:, 0])
        np.testing.assert_allclose(found["scores"], scores, atol=1e-4)


def test_a_padded_source_is_answered_like_itself(
    recurrent: Translator, fixed_size: Artifact, sentences
) -> None:
    call = reading(fixed_size)
    short = [text for text in sentences[0].tolist() if len(text.split()) < 9][:5]
    for sentence in short:
        bare, padded = recurrent.ids([sentence]), recurrent.ids([sentence], 20, 20)
        assert padded.shape[1] > bare.shape[1]
        got = call({"source": padded}, "greedy")["answers"]
        np.testing.assert_array_equal(got, recurrent.greedy(bare))


def test_a_saved_model_takes_and_gives_strings(
    recurrent: Translator, of_strings: Artifact, sentences
) -> None:
    assert of_strings.parity.agreement == 1.0
    assert of_strings.parity.largest_difference <= 1e-6
    source = {"source": ("string", [None])}
    assert described(of_strings)["greedy"] == (source, ["answers", "text"])
    assert set(described(of_strings)["beam"][1]) == {"answers", "scores", "text"}
    assert "NFC" in of_strings.manifest.preprocessing
    asked = [*sentences[0][:7].tolist(), "", "  Ein\tPINGUIN 🐧  läuft (im Schnee)! "]
    call, target = reading(of_strings), recurrent.tokenizers["target"]
    got = call({"source": np.array(asked)}, "greedy")
    expected = recurrent.greedy(recurrent.ids(asked))
    np.testing.assert_array_equal(got["answers"], expected)
    assert texts(got["text"]) == target.decode(expected)
    best = call({"source": np.array(asked)}, "beam")
    assert best["text"].shape == best["scores"].shape == (len(asked), WIDTH)
    assert texts(best["text"][:, 0]) == target.decode(best["answers"][:, 0])


@pytest.mark.slow
def test_a_saved_model_of_subwords_takes_numbers_and_gives_strings(
    transformer: Translator, sentences, tmp_path: Path
) -> None:
    artifact = transformer.export(tmp_path / "out", "saved_model")
    source = {"source": ("int32", [None, None])}
    assert described(artifact)["greedy"] == (source, ["answers", "text"])
    ids = transformer.ids(sentences[0][:9].tolist())
    got, expected = reading(artifact)({"source": ids}, "greedy"), transformer.greedy(ids)
    np.testing.assert_array_equal(got["answers"], expected)
    assert texts(got["text"]) == transformer.tokenizers["target"].decode(expected)


@pytest.mark.slow
def test_quantization_makes_the_file_smaller(
    recurrent: Translator, fixed_size: Artifact, sentences, tmp_path: Path
) -> None:
    samples = [part[:50] for part in sentences]
    report = recurrent.export(
        tmp_path / "out", "litert", "dynamic", samples=samples, verify=True, max_drop=100.0
    ).parity
    assert report.bytes < 0.8 * fixed_size.parity.bytes
    assert 0.5 < report.agreement <= 1
    assert 0 < report.largest_difference < 0.1


@pytest.mark.parametrize("name", ["any_size", "fixed_size"])
def test_the_example_translates_without_tensorflow(
    request: pytest.FixtureRequest, transformer: Translator, recurrent: Translator, name: str
) -> None:
    translator = {"any_size": transformer, "fixed_size": recurrent}[name]
    sentence = "Ein Hund läuft [END] im Schnee."
    code = (
        "import runpy, sys\n"
        "for name in ('tensorflow', 'keras', 'zoo', 'export'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    folder = request.getfixturevalue(name).path
    process = subprocess.run(
        [sys.executable, "-P", "-c", code, str(EXAMPLE), str(folder), *sentence.split()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    tokenizer = translator.tokenizers["target"]
    answers = translator.greedy(translator.ids([sentence]))
    (expected,) = tokenizer.decode(answers)
    plain = tokenizer.inner.decode(answers[0][answers[0] > 3].tolist(), skip_special_tokens=False)
    assert process.stdout.strip() == (expected if "[UNK]" not in expected else plain)


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 32


def test_the_vocabularies_lie_beside_the_model(
    recurrent: Translator, any_size: Artifact, fixed_size: Artifact
) -> None:
    assert {f.file for f in any_size.manifest.tokenizers.values()} == {"tokenizer.json"}
    files = fixed_size.manifest.tokenizers
    assert {name: f.file for name, f in files.items()} == {
        "source": "source-tokenizer.json",
        "target": "target-tokenizer.json",
    }
    for name, entry in files.items():
        assert fixed_size.manifest.files[entry.file] == entry.sha256
        again = Tokenizer.load(fixed_size.path / entry.file)
        assert again.vocabulary == recurrent.tokenizers[name].vocabulary
    content = json.loads((any_size.path / "model.json").read_text())
    assert content["decoding"] == {
        "max_length": LONGEST, "source_length": None, "beam_width": WIDTH, "length_penalty": PENALTY
    }  # fmt: skip
    assert content["task"] == "translation"


def test_another_vocabulary_than_the_model_s_is_refused(
    monkeypatch: pytest.MonkeyPatch, recurrent: Translator, fixed_size: Artifact
) -> None:
    manifest, path = fixed_size.manifest, fixed_size.path
    monkeypatch.setattr(text_parity, "load_tokenizers", lambda name: recurrent.tokenizers)
    text_parity.check_tokenizers(path, manifest, "run")
    swapped = {**recurrent.tokenizers, "source": recurrent.tokenizers["target"]}
    monkeypatch.setattr(text_parity, "load_tokenizers", lambda name: swapped)
    with pytest.raises(InputError, match="another vocabulary than 'run'"):
        text_parity.check_tokenizers(path, manifest, "run")


def test_other_weights_write_other_texts(
    recurrent: Translator, fixed_size: Artifact, sentences
) -> None:
    other = copy(recurrent.model)
    other.set_weights([w * 1.3 for w in other.get_weights()])
    report = verify(fixed_size.path, other, (sentences[0][:20], None))
    assert report.examples == 20
    assert report.agreement < 1
    assert report.reference is None
    assert report.largest_difference > 1e-3


def test_no_strings_to_compare_on_is_said(transformer: Translator, any_size: Artifact) -> None:
    with pytest.raises(InputError, match="reads text: give strings"):
        verify(any_size.path, transformer.model, (np.zeros((3, 4), "int32"), None))


@pytest.mark.parametrize("name", ["transformer", "recurrent"])
def test_full_int8_is_refused_in_one_line(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    reason = {"transformer": "become slower", "recurrent": "crashes at recurrent"}[name]
    with pytest.raises(InputError, match=rf"int8 is not for .*{reason}.* Take 'dynamic'\.$"):
        request.getfixturevalue(name).export(tmp_path / "out", "litert", "int8")
    assert list(tmp_path.iterdir()) == []


def test_a_recurrent_file_of_a_larger_batch_is_refused(
    recurrent: Translator, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="recurrent models read one text, not 4"):
        recurrent.export(tmp_path / "out", "litert", batch=4)


def test_a_vocabulary_of_another_size_is_refused(transformer: Translator, tmp_path: Path) -> None:
    small = Tokenizer.train(["a b c"], "words", min_frequency=1)
    wrong = {"source": small, "target": small}
    with pytest.raises(InputError, match=r"scores \d+ tokens, and the vocabulary has 7"):
        export(transformer.model, tmp_path / "out", tokenizers=wrong, verify=False)
    with pytest.raises(InputError, match=r"reads source, target, and .* for ids"):
        export(
            transformer.model,
            tmp_path / "out",
            tokenizers={"ids": small},
            verify=False,
        )


@pytest.mark.parametrize("option", ["max_length", "source_length", "beam_width"])
def test_a_length_of_nothing_is_refused(
    transformer: Translator, tmp_path: Path, option: str
) -> None:
    with pytest.raises(InputError, match=f"{option} must be above 0, not 0"):
        transformer.export(tmp_path / "out", **{option: 0})
