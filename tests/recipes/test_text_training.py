"""Models of text: they learn, go on where they were killed, and learn the user's own words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from recipes import Recipe, Run, evaluate, finetune, load_data, lr_find, train
from recipes.losses import TokenCrossentropy
from recipes.translation import Translator, attention_of
from recipes.vocabulary import with_grown_vocabulary
from zoo import InputError
from zoo.texts import read

NEW = "heute tanzt der rote pinguin 🐧."


@pytest.fixture(scope="module")
def own_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs with words that the translation run has not read."""
    animals = {"pinguin 🐧": "penguin", "hund": "dog", "kater": "cat"}
    colours = {"rote": "red", "blaue": "blue", "graue": "grey"}
    verbs = {"tanzt": "dances", "läuft": "runs", "singt": "sings"}
    path = tmp_path_factory.mktemp("own") / "own.tsv"
    path.write_text(
        "".join(
            f"heute {verb} der {colour} {animal}.\tthe {colours[colour]} {animals[animal]} "
            f"{verbs[verb]} today.\n"
            for animal in animals
            for colour in colours
            for verb in verbs
        )
    )
    return path


@pytest.fixture(scope="module")
def tuned(translation_run: Run, own_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("tuned") / "run"
    return finetune(
        translation_run.path, own_pairs, out, epochs=20, learning_rate=5e-3, batch_size=8
    )


def test_a_small_transformer_learns_to_translate(translation_run: Run) -> None:
    test = translation_run.metrics["test"]
    assert test["bleu"] > 90
    assert test["bleu (greedy)"] > 90
    assert test["accuracy"] > 0.95
    assert test["perplexity"] == pytest.approx(np.exp(test["cross_entropy"]))
    metrics = {m.name: m for m in translation_run.card.metrics if m.split == "test"}
    assert next(iter(metrics)) == "bleu"
    assert metrics["bleu"].signature.startswith("nrefs:1|case:mixed")
    assert metrics["accuracy"].signature == ""
    assert evaluate(translation_run.path) == pytest.approx(test)


def test_a_run_keeps_its_vocabulary_and_refuses_another(
    translation_run: Run, tmp_path: Path
) -> None:
    tokenizers = zoo.load_tokenizers(translation_run.path)
    assert tokenizers["source"] is tokenizers["target"]
    assert tokenizers["source"].unknown("der rote hund") == []
    shutil.copytree(translation_run.path, tmp_path / "copy")
    path = tmp_path / "copy" / "tokenizer.json"
    path.write_text(path.read_text().replace("hund", "hand"))
    with pytest.raises(InputError, match="missing or damaged"):
        zoo.load_tokenizers(tmp_path / "copy")


def test_answers_come_in_the_order_of_the_sentences(translation_run: Run) -> None:
    translator = Translator(translation_run.load(), translation_run.tokenizers)
    sentences = ["draußen wartet der alte bär.", " ", "hier läuft der rote hund."]
    [first], [nothing], [last] = translator(sentences)
    assert first.text == "the old bear waits outside."
    assert (nothing.text, nothing.tokens) == ("", ())
    assert last.text == "the red dog runs here."
    found = translator(sentences, beam=4, nbest=3)
    assert [len(answers) for answers in found] == [3, 1, 3]
    assert found[0][0].text == first.text
    for answers in (found[0], found[2]):
        scores = [answer.score for answer in answers]
        assert scores == sorted(scores, reverse=True)
        assert len({answer.text for answer in answers}) == 3
    with pytest.raises(InputError, match="nbest lies between 1 and"):
        translator(sentences, beam=2, nbest=3)


def test_the_attention_of_an_answer_is_a_share_of_every_source_token(translation_run: Run) -> None:
    model = zoo.load(translation_run.path, return_attention=True)
    text = "hier läuft der rote hund."
    [[answer]] = Translator(model, translation_run.tokenizers)([text])
    weights, source, target = attention_of(model, translation_run.tokenizers, text, answer)
    assert weights.shape == (len(target), len(source))
    assert source[-1] == target[-1] == "[END]"
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_the_vocabulary_grows_and_the_old_words_stay_where_they_were(
    translation_run: Run, own_pairs: Path
) -> None:
    model, old = translation_run.load(), translation_run.tokenizers
    card = translation_run.card
    data = load_data(own_pairs, task="translation")
    grown, data = with_grown_vocabulary(model, card.architecture, card.arguments, old, data)
    new = data.tokenizers["source"]
    assert new.unknown(NEW) == []
    assert old["source"].unknown(NEW)
    assert new.vocabulary[: len(old["source"])] == old["source"].vocabulary
    text = ["hier läuft der rote hund."]
    source = read(new, text, "source")
    target = read(data.tokenizers["target"], ["the red dog"], "target")
    inputs = {"source": source, "target": target}
    before, after = (np.asarray(m(inputs, training=False)) for m in (model, grown))
    np.testing.assert_allclose(after[..., : before.shape[-1]], before, atol=1e-5)


def test_fine_tuning_learns_the_new_words_and_reports_the_old_figure(
    translation_run: Run, tuned: Run
) -> None:
    test = tuned.metrics["test"]
    assert test["bleu"] > test["bleu (before)"] + 20
    assert test["accuracy"] > test["accuracy (before)"]
    assert tuned.config.recipe.head_epochs == 0
    assert "🐧" in "".join(tuned.tokenizers["source"].vocabulary)
    [[answer]] = Translator(tuned.load(), tuned.tokenizers)([NEW])
    assert answer.text.startswith("the red penguin ")
    # The source is untouched, and the copy can be built again by its name and arguments.
    assert translation_run.tokenizers["source"].unknown(NEW)
    built = zoo.build(tuned.card.architecture, **tuned.card.arguments)
    assert [w.shape for w in built.weights] == [w.shape for w in tuned.load().weights]


def test_data_of_another_kind_is_refused(
    translation_run: Run, own_pairs: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="'iris' is data for classification"):
        finetune(translation_run.path, "iris", tmp_path / "a")
    with pytest.raises(InputError, match=r"holds text, and .* reads none"):
        finetune("lenet5-mnist", load_data(own_pairs, task="translation"), tmp_path / "b")
    text = tmp_path / "t.txt"
    text.write_text("some words\n" * 200)
    with pytest.raises(InputError, match="is for translation"):
        finetune(translation_run.path, load_data(text), tmp_path / "c")


@pytest.fixture(scope="module")
def long_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text that is easy to go on with."""
    path = tmp_path_factory.mktemp("text") / "alphabet.txt"
    path.write_text("abcdefghij klmnopqrst uvwxyz.\n" * 300)
    return path


def language_model(name: str, text: Path, **fields: Any) -> Recipe:
    arguments = {
        "lstm_language_model": {"units": [24], "embedding_dim": 8, "dropout": 0.1},
        "gpt": {"width": 16, "depth": 1, "num_heads": 2, "max_length": 32},
    }
    usual = {
        "arguments": arguments[name],
        "epochs": 4,
        "batch_size": 8,
        "max_length": 16,
        "learning_rate": 0.02,
    }
    return Recipe(model=name, data=str(text), **(usual | fields))


@pytest.mark.parametrize("name", ["lstm_language_model", "gpt"])
def test_a_language_model_learns_and_goes_on_as_if_it_had_not_been_stopped(
    name: str, long_text: Path, tmp_path: Path, assert_same: Callable[[Run, Run], None]
) -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    recipe = language_model(name, long_text)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "stopped", callbacks=[Stop()])
    resumed = train(recipe, tmp_path / "stopped", resume=True)
    straight = train(recipe, tmp_path / "straight")
    assert_same(resumed, straight)
    metrics = straight.metrics["test"]
    assert metrics["cross_entropy"] < 1.5 < np.log(30)
    assert straight.card.dataset.examples["test"] == 450
    again = evaluate(straight.path)
    assert again == pytest.approx(metrics)


def test_states_that_keras_would_forget_are_refused(
    long_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(InputError, match=r"'lstm_language_model' carries its states .* TensorFlow"):
        train(language_model("lstm_language_model", long_text), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_language_model_learns_the_users_own_text(long_text: Path, tmp_path: Path) -> None:
    run = train(language_model("lstm_language_model", long_text, epochs=1), tmp_path / "run")
    own = tmp_path / "own.txt"
    own.write_text("zyx wvu 🐧 tsr.\n" * 300)
    tuned = finetune(run.path, own, tmp_path / "tuned", epochs=3, batch_size=8, learning_rate=0.02)
    test = tuned.metrics["test"]
    assert test["cross_entropy"] < test["cross_entropy (before)"] - 0.5
    assert tuned.tokenizers["ids"].unknown("🐧") == []
    assert tuned.config.recipe.max_length == 16
    with pytest.raises(InputError, match="no head of its own"):
        finetune(run.path, own, tmp_path / "frozen", strategy="frozen")
    with pytest.raises(InputError, match="is text for language_modeling"):
        evaluate("lstm-polarity", own)


def test_every_position_is_trained_and_no_more_are_asked_for(
    long_text: Path, tmp_path: Path
) -> None:
    recipe = language_model("gpt", long_text, epochs=1)
    del recipe.arguments["max_length"]
    run = train(recipe, tmp_path / "run")
    assert run.card.arguments["max_length"] == 16
    with pytest.raises(InputError, match="'gpt' has 32 positions: max_length is at most that"):
        train(language_model("gpt", long_text, max_length=33), tmp_path / "long")
    assert not (tmp_path / "long").exists()
    with pytest.raises(InputError, match="too few for windows"):
        train(language_model("gpt", long_text, max_length=32, batch_size=8).__class__(
            model="lstm_language_model", data=str(long_text), epochs=1, batch_size=500
        ), tmp_path / "short")  # fmt: skip
    assert not (tmp_path / "short").exists()


def test_pairs_that_are_left_out_are_told(sentence_pairs: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        model="transformer",
        arguments={"width": 8, "depth": 1, "num_heads": 1},
        data=str(sentence_pairs),
        data_options={"task": "translation"},
        epochs=1,
        max_length=2,
    )
    with pytest.raises(InputError, match="has at most 2 tokens"):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_learning_rate_is_found_for_text(sentence_pairs: Path, long_text: Path) -> None:
    assert 1e-5 < lr_find(language_model("lstm_language_model", long_text), steps=40).suggestion < 1


def test_the_loss_is_the_mean_over_tokens_with_smoothed_labels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5)).astype("float32")
    labels = np.array([[3, 2, 0], [4, 0, 0]])
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    wanted = []
    for row, place in ((0, 0), (0, 1), (1, 0)):
        target = np.full(5, 0.1 / 5)
        target[labels[row, place]] += 0.9
        wanted.append(-(target * log_p[row, place]).sum())
    assert float(TokenCrossentropy(0.1)(labels, logits)) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_a_recipe_of_text_refuses_what_text_has_not(sentence_pairs: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"model": "transformer", "data": str(sentence_pairs), "epochs": 1}
    fields["data_options"] = {"task": "translation"}
    for wrong, reason in (
        ({"sampling": "over"}, "sampling .* for classes"),
        ({"augment": {"flip": 0.5}}, "augment is not for text"),
        ({"loss": "mean_squared_error"}, "loss is not for text"),
        ({"class_weights": True}, "class weights are for classes"),
        ({"tokenizer": {"kinds": "words"}}, "no setting of a tokenizer 'kinds'"),
        ({"tokenizer": {"vocabulary_size": -1}}, "vocabulary_size lies between"),
    ):
        with pytest.raises(InputError, match=reason):
            train(Recipe(**fields, **wrong), tmp_path / "run")
    with pytest.raises(InputError, match="a tokenizer is for text"):
        train(
            Recipe(model="mlp", data="digits", epochs=1, tokenizer={"kind": "words"}),
            tmp_path / "run",
        )


def test_metrics_are_written_as_json(translation_run: Run) -> None:
    stored = json.loads((translation_run.path / "metrics.json").read_text())
    assert stored["validation"].keys() == stored["test"].keys()
