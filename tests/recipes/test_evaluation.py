"""Figures against scikit-learn and against sums by hand."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

import zoo
from recipes import Recipe, Run, Splits, evaluate, load_data, train
from recipes.data import Examples
from recipes.data.splits import SPLITS
from recipes.evaluation import batch_of
from recipes.inputs import data_for
from zoo import InputError


def identity(width: int) -> keras.Model:
    """Return a model whose answer is its input."""
    inputs = keras.Input((width,))
    return keras.Model(inputs, keras.layers.Activation("linear")(inputs), name="identity")


def splits(inputs: np.ndarray, targets: np.ndarray, task: str) -> Splits:
    examples = Examples(inputs, targets)
    labels = tuple(map(str, range(inputs.shape[-1]))) if task == "classification" else ()
    return Splits(examples, examples, examples, task, labels, "made", "none")


def probabilities(classes: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return answers that are better than chance, and unbalanced targets."""
    rng = np.random.default_rng(classes)
    share = np.arange(1, classes + 1) / sum(range(1, classes + 1))
    targets = rng.choice(classes, count, p=share)
    logits = rng.normal(size=(count, classes)) + np.eye(classes)[targets]
    answers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return answers.astype("float32"), targets


@pytest.mark.parametrize("classes", [2, 4])
def test_figures_of_classes_are_those_of_scikit_learn(classes: int):
    answers, targets = probabilities(classes)
    figures = evaluate(identity(classes), splits(answers, targets, "classification"))
    decisions, likelihood = answers.argmax(axis=1), answers.astype("float64")
    likelihood /= likelihood.sum(axis=1, keepdims=True)
    expected = {
        "accuracy": sk.accuracy_score(targets, decisions),
        "balanced_accuracy": sk.balanced_accuracy_score(targets, decisions),
        "cross_entropy": sk.log_loss(targets, likelihood),
    }
    if classes == 2:
        expected["auc"] = sk.roc_auc_score(targets, answers[:, 1])
    assert figures == pytest.approx(expected, rel=1e-5)
    assert next(iter(figures)) == "accuracy"


def test_figures_of_classes_by_hand():
    answers = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]], "float32")
    targets = np.array([0, 0, 0, 1])
    figures = evaluate(identity(2), splits(answers, targets, "classification"))
    assert figures["accuracy"] == 0.5
    assert figures["balanced_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    assert figures["cross_entropy"] == pytest.approx(-np.log([0.9, 0.6, 0.2, 0.3]).mean(), rel=1e-5)
    assert figures["auc"] == pytest.approx(1 / 3)


def test_a_sure_and_wrong_answer_has_a_finite_cross_entropy():
    answers, targets = np.array([[1, 0], [1, 0]], "float32"), np.array([0, 1])
    figures = evaluate(identity(2), splits(answers, targets, "classification"))
    assert figures["cross_entropy"] == pytest.approx(-np.log(1e-12) / 2)


def test_one_class_alone_has_no_auc():
    answers, targets = np.array([[0.9, 0.1], [0.4, 0.6]], "float32"), np.array([0, 0])
    figures = evaluate(identity(2), splits(answers, targets, "classification"))
    assert "auc" not in figures
    assert figures["balanced_accuracy"] == figures["accuracy"] == 0.5


def test_figures_of_quantities_are_those_of_scikit_learn_and_by_hand():
    rng = np.random.default_rng(0)
    targets = rng.normal(100, 20, (200, 1)).astype("float32")
    answers = targets + rng.normal(0, 5, (200, 1)).astype("float32")
    figures = evaluate(identity(1), splits(answers, targets, "regression"))
    error = (answers - targets).astype("float64")
    spread = np.square(targets - targets.mean()).sum(dtype="float64")
    assert figures == pytest.approx(
        {
            "r2": 1 - np.square(error).sum() / spread,
            "mae": np.abs(error).mean(),
            "mse": sk.mean_squared_error(targets, answers),
        },
        rel=1e-4,
    )


def test_figures_of_reconstructions_are_of_the_pixels_between_0_and_1(digits: Splits):
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    pixels = digits.test.inputs / 255
    for scale, error in ((1 / 255, 0.0), (0.5 / 255, np.square(pixels / 2).mean())):
        model = keras.Model(inputs, keras.layers.Rescaling(scale)(inputs))
        figures = evaluate(model, digits, task="reconstruction")
        assert figures["mse"] == pytest.approx(error, rel=1e-4, abs=1e-9)
        spread = np.square(pixels - pixels.mean(axis=0)).mean()
        assert figures["r2"] == pytest.approx(1 - error / spread, rel=1e-4)


def test_each_split_can_be_measured(clouds: Splits):
    model = zoo.build("softmax", input_shape=(2,), classes=2)
    for split in SPLITS:
        answers = model.predict(clouds[split].inputs, verbose=0).argmax(axis=1)
        expected = (answers == clouds[split].targets).mean()
        assert evaluate(model, clouds, split=split)["accuracy"] == pytest.approx(expected)


def test_an_unknown_split_is_refused(clouds: Splits):
    model = zoo.build("softmax", input_shape=(2,), classes=2)
    with pytest.raises(InputError, match="known: all, test, train, validation"):
        evaluate(model, clouds, split="holdout")


def test_a_named_set_is_loaded():
    model = zoo.build("softmax", input_shape=(4,), classes=3)
    assert evaluate(model, "iris") == evaluate(model, load_data("iris"))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_run_is_measured_by_its_path_on_the_examples_it_keeps(short_run: Run, kind: type):
    assert evaluate(kind(short_run.path)) == pytest.approx(short_run.metrics["test"], rel=1e-6)


def test_a_run_that_keeps_only_some_of_its_test_examples_reads_its_data_again(
    brief: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("recipes.run._MOST_SAMPLE_BYTES", 64 * 20)
    run = train(brief(), tmp_path / "run")
    assert len(run.samples("test")) <= 20 < run.config.dataset.examples["test"]
    assert evaluate(run.path) == pytest.approx(run.metrics["test"], abs=1e-6)


def test_logits_are_not_measured_as_probabilities(short_run: Run, few_digits: Splits):
    logits = zoo.load(short_run.path, classifier_activation=None)
    for augment in ("", "flip"):
        with pytest.raises(InputError, match="no probabilities"):
            evaluate(logits, few_digits, augment=augment)


def test_large_pictures_are_answered_in_smaller_batches():
    sizes = [batch_of(np.zeros((2, n, n, 3), "uint8")) for n in (28, 224, 4096)]
    assert sizes[0] == 256 > sizes[1] > sizes[2] == 1


def test_data_that_is_not_here_is_asked_for():
    with pytest.raises(InputError, match="learned from 'imagenet', which is not here: name your"):
        data_for("vgg16-imagenet")


def test_the_models_own_data_is_divided_as_it_was_also_by_name(tmp_path: Path):
    options = {"validation": 40}
    recipe = Recipe(model="softmax", data="digits", data_options=options, epochs=1)
    run = train(recipe, tmp_path / "run")
    assert (
        data_for(run.path, "digits").sizes
        == data_for(run.path).sizes
        == run.config.dataset.examples
    )
    assert load_data("digits").sizes != run.config.dataset.examples


def test_a_model_of_several_outputs_is_refused(few_digits: Splits):
    image = keras.Input((8, 8, 1), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    heads = [keras.layers.Dense(10, "softmax", name=name)(flat) for name in ("one", "other")]
    with pytest.raises(InputError, match="'two' has 2 outputs; measure one of them"):
        evaluate(keras.Model(image, heads, name="two"), few_digits)


def test_a_run_is_measured_on_given_data(short_run: Run, few_digits: Splits):
    figures = evaluate(short_run.path, few_digits, split="validation")
    assert figures == pytest.approx(short_run.metrics["validation"], rel=1e-6)


def test_a_model_without_card_needs_data():
    with pytest.raises(InputError, match="name the data"):
        evaluate(zoo.build("softmax"))


def test_inputs_of_another_shape_are_refused(few_digits: Splits):
    with pytest.raises(InputError, match=r"\(28, 28, 1\); 'digits' holds \(8, 8, 1\)"):
        evaluate(zoo.build("softmax"), few_digits)


def test_another_number_of_classes_is_refused(few_digits: Splits):
    model = zoo.build("softmax", input_shape=(8, 8, 1), classes=7)
    with pytest.raises(InputError, match="knows 7 classes; 'digits' has 10"):
        evaluate(model, few_digits)


def test_other_labels_than_the_runs_are_refused(short_run: Run, few_digits: Splits):
    others = replace(few_digits, labels=tuple("abcdefghij"))
    with pytest.raises(InputError, match=r"label|class"):
        evaluate(short_run.path, others)


def test_a_folder_without_card_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="it is not a run"):
        evaluate(tmp_path, "digits")


def test_a_model_file_that_was_changed_is_refused(short_run: Run, tmp_path: Path):
    shutil.copytree(short_run.path, tmp_path / "run")
    file = tmp_path / "run" / "model.keras"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.keras is damaged"):
        evaluate(tmp_path / "run")


def fruit(folder: Path, name: str, kinds: tuple[str, ...]) -> Path:
    """Write a table in which the colour decides: red is ripe."""
    rng = np.random.default_rng(len(kinds))
    colour = np.resize(kinds, 150)
    rows = pd.DataFrame(
        {
            "weight": rng.normal(100, 10, 150).round(2),
            "colour": colour,
            "ripe": np.where(colour == "red", "yes", "no"),
        }
    )
    rows.to_csv(folder / name, index=False)
    return folder / name


@pytest.fixture(scope="module")
def fruit_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("fruit")
    recipe = Recipe(
        model="softmax",
        data=str(fruit(folder, "fruit.csv", ("blue", "green", "red"))),
        data_options={"target": "ripe"},
        epochs=15,
        batch_size=16,
        learning_rate=0.05,
    )
    return train(recipe, folder / "run")


def test_a_run_on_a_table_is_measured_on_its_own_splits(fruit_run: Run):
    assert fruit_run.metrics["validation"]["accuracy"] > 0.95
    figures = evaluate(fruit_run.path, split="validation")
    assert figures == pytest.approx(fruit_run.metrics["validation"], rel=1e-6)


def test_another_table_is_encoded_as_the_run_learned_it(fruit_run: Run, tmp_path: Path):
    other = fruit(tmp_path, "other.csv", ("green", "red"))
    assert evaluate(fruit_run.path, other, target="ripe")["accuracy"] > 0.95
