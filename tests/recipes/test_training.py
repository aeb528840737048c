"""Training: the same for the same seed, and as the recipe says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from recipes import Recipe, Run, Splits, evaluate, train
from recipes.data import Examples
from recipes.run import State
from zoo import CheckFailed, InputError

Brief = Callable[..., Recipe]
Spoiler = Callable[[int, float], keras.callbacks.Callback]
StateOf = Callable[[Run], State]
Weights = list[np.ndarray]

STILL = 1e-30  # a learning rate that moves no float32 weight


class Snapshots(keras.callbacks.Callback):
    """Keeps the weights after each epoch and each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[Weights] = []
        self.batches: list[Weights] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(self.model.get_weights())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches.append(self.model.get_weights())


def initial(run: Run) -> Weights:
    return keras.saving.load_model(run.path / "initial.keras", compile=False).get_weights()


def assert_equal(one: Weights, other: Weights) -> None:
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, y)


def differ(one: Weights, other: Weights) -> bool:
    return any((x != y).any() for x, y in zip(one, other, strict=True))


def test_one_seed_gives_one_result_and_another_another(
    few_digits: Splits, brief: Brief, tmp_path: Path, state_of: StateOf
):
    def trained(name: str, seed: int) -> tuple[list[dict[str, float]], Weights]:
        recipe = brief(arguments={"hidden": [16], "dropout": 0.2}, augment={"crop": 1}, seed=seed)
        run = train(recipe, tmp_path / name, data=few_digits)
        return state_of(run).history, run.load().get_weights()

    one, same, other = trained("one", 1), trained("same", 1), trained("other", 2)
    assert one[0] == same[0] != other[0]
    assert_equal(one[1], same[1])
    assert differ(one[1], other[1])


@pytest.mark.parametrize("keep", ["best", "last"])
def test_patience_stops_a_training_that_does_not_get_better(
    few_digits: Splits, brief: Brief, tmp_path: Path, keep: str, state_of: StateOf
):
    recipe = brief(optimizer="sgd", learning_rate=STILL, epochs=6, patience=2, keep=keep)
    run = train(recipe, tmp_path / "run", data=few_digits)
    state = state_of(run)
    assert state.epoch == 6
    assert len(state.history) == run.card.training.epochs == 3
    assert run.card.training.best_epoch == (1 if keep == "best" else 3)


def test_the_best_epoch_is_kept(
    few_digits: Splits, brief: Brief, tmp_path: Path, state_of: StateOf, spoil: Spoiler
):
    snapshots = Snapshots()
    run = train(
        brief(epochs=3), tmp_path / "run", data=few_digits, callbacks=[spoil(2, 0.0), snapshots]
    )
    assert state_of(run).best_epoch == run.card.training.best_epoch == 2
    assert_equal(run.load().get_weights(), snapshots.epochs[1])


def test_the_last_epoch_is_kept_on_request(
    few_digits: Splits, brief: Brief, tmp_path: Path, spoil: Spoiler
):
    snapshots = Snapshots()
    run = train(
        brief(epochs=3, keep="last"),
        tmp_path / "run",
        data=few_digits,
        callbacks=[spoil(2, 0.0), snapshots],
    )
    assert run.card.training.best_epoch == 3
    assert_equal(run.load().get_weights(), snapshots.epochs[2])


def test_a_moving_average_is_what_is_kept(few_digits: Splits, brief: Brief, tmp_path: Path):
    snapshots = Snapshots()
    run = train(
        brief(ema=0.9, keep="last"), tmp_path / "run", data=few_digits, callbacks=[snapshots]
    )
    average = snapshots.batches[0]
    for weights in snapshots.batches[1:]:
        average = [0.9 * a + 0.1 * w for a, w in zip(average, weights, strict=True)]
    kept = run.load().get_weights()
    for x, y in zip(kept, average, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)
    assert differ(kept, snapshots.epochs[-1])
    for x, y in zip(snapshots.epochs[-1], snapshots.batches[-1], strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)  # keeping it does not disturb the training


def test_validation_is_of_the_moving_average(
    few_digits: Splits, brief: Brief, tmp_path: Path, state_of: StateOf
):
    run = train(brief(ema=0.9, epochs=1), tmp_path / "run", data=few_digits)
    measured = evaluate(run.load(), few_digits, split="validation")
    assert state_of(run).history[0]["val_loss"] == pytest.approx(
        measured["cross_entropy"], rel=1e-4
    )


def test_class_weights_turn_the_answers_to_the_rare_class(clouds: Splits, tmp_path: Path):
    def answers(name: str, weighted: bool) -> np.ndarray:
        recipe = Recipe(
            model="softmax",
            data="clouds",
            epochs=8,
            learning_rate=0.05,
            class_weights=weighted,
            keep="last",
        )
        run = train(recipe, tmp_path / name, data=clouds)
        return run.load().predict(clouds.test.inputs, verbose=0).argmax(axis=1)

    plain, weighted = answers("plain", False), answers("weighted", True)
    rare = clouds.test.targets == 1
    assert weighted[rare].mean() > plain[rare].mean() + 0.2
    assert 0.2 < weighted.mean() < 0.7


def test_clipping_bounds_a_step(few_digits: Splits, brief: Brief, tmp_path: Path):
    recipe = brief(
        optimizer="sgd", learning_rate=1.0, clip_norm=1e-3, epochs=1, batch_size=1000, keep="last"
    )
    run = train(recipe, tmp_path / "run", data=few_digits)
    moves = [a - b for a, b in zip(run.load().get_weights(), initial(run), strict=True)]
    # One step; Nesterov's momentum of 0.9 makes it 1.9 times as long.
    length = np.sqrt(sum(np.square(m).sum() for m in moves))
    assert length == pytest.approx(1.9e-3, rel=0.01)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_and_leaves_a_float32_model(
    few_digits: Splits, brief: Brief, tmp_path: Path, precision: str, state_of: StateOf
):
    run = train(brief(precision=precision, epochs=3), tmp_path / "run", data=few_digits)
    losses = [row["loss"] for row in state_of(run).history]
    assert losses[-1] < 0.8 * losses[0]
    model = run.load()
    assert {w.dtype for w in model.weights} == {"float32"}
    assert {layer.compute_dtype for layer in model.layers} <= {"float32", "uint8"}
    assert model.output.dtype == "float32"


def test_classes_are_not_learned_from_logits(few_digits: Splits, brief: Brief, tmp_path: Path):
    recipe = brief(arguments={"hidden": [16], "classifier_activation": None})
    with pytest.raises(InputError, match="leave out classifier_activation"):
        train(recipe, tmp_path / "run", data=few_digits)
    assert not (tmp_path / "run").exists()


def test_a_learning_rate_far_too_high_is_told(few_digits: Splits, brief: Brief, tmp_path: Path):
    recipe = brief(optimizer="sgd", learning_rate=1e30)
    with pytest.raises(CheckFailed, match="infinite or not a number"):
        train(recipe, tmp_path / "run", data=few_digits)


def test_examples_are_limited_class_by_class(digits: Splits):
    few = digits.limited(200)
    assert len(few.train) == 200
    whole = np.bincount(digits.train.targets) * 200 / len(digits.train)
    np.testing.assert_allclose(np.bincount(few.train.targets), whole, atol=1)
    assert few.sizes["test"] == digits.sizes["test"]
    assert few.limited(200) is few
    assert digits.limited(0) is digits
    assert digits.limited(10**6) is digits


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ("logistic", "iris", "'logistic' has 2 output.* 3 classes.*Try 'softmax'"),
        ("linear", "iris", "'linear' has 1 output.* 3 classes"),
        ("lenet5", "iris", r"'lenet5' cannot be built for inputs of shape \(4,\)"),
        ("lenet5", "diabetes", "'lenet5' answers with classes.*quantity.*'linear'"),
        ("softmax", "diabetes", "'softmax' answers with classes"),
        ("autoencoder", "iris", "'autoencoder'"),
        ("lenet6", "digits", "'lenet5'"),
        ("mlp", "digit", "'digits'"),
    ],
)
def test_an_architecture_that_does_not_fit_is_refused_before_a_run_is_made(
    tmp_path: Path, model: str, data: str, words: str
):
    with pytest.raises(InputError, match=words):
        train(Recipe(model=model, data=data, epochs=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["transformer", "gpt", "lstm_classifier"])
def test_a_reader_of_text_is_not_given_pictures(name: str, digits: Splits, tmp_path: Path):
    with pytest.raises(InputError, match=f"'{name}' reads tokens of text; 'digits' holds none"):
        train(Recipe(model=name, data="digits", epochs=1), tmp_path / "run", data=digits)
    assert not (tmp_path / "run").exists()


def test_a_model_with_further_outputs_is_refused(digits: Splits, tmp_path: Path):
    parts = {
        name: Examples(np.zeros((20, 80, 80, 3), "uint8"), digits[name].targets[:20])
        for name in ("train", "validation", "test")
    }
    recipe = Recipe(model="googlenet_auxiliary", data="digits", epochs=1)
    with pytest.raises(InputError, match=r"has the outputs .*auxiliary1.* without auxiliary heads"):
        train(recipe, tmp_path / "run", data=replace(digits, **parts))
    assert not (tmp_path / "run").exists()


def test_pictures_too_small_for_an_architecture_are_refused(digits: Splits, tmp_path: Path):
    parts = {
        name: Examples(digits[name].inputs[:, :5, :5], digits[name].targets)
        for name in ("train", "validation", "test")
    }
    with pytest.raises(InputError, match=r"'convnet' cannot be built for .*\(5, 5, 1\)"):
        train(
            Recipe(model="convnet", data="digits", epochs=1),
            tmp_path / "run",
            data=replace(digits, **parts),
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"arguments": {"hiden": [8]}},
        {"arguments": {"classes": 4}},
        {"arguments": {"input_shape": [9, 9, 1]}},
    ],
    ids=["unknown argument", "wrong classes", "wrong shape"],
)
def test_wrong_arguments_are_refused_before_a_run_is_made(
    few_digits: Splits, brief: Brief, tmp_path: Path, fields: dict[str, Any]
):
    with pytest.raises(InputError):
        train(brief(**fields), tmp_path / "run", data=few_digits)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"data": "iris", "augment": {"noise": 0.1}},
        {"data": "digits", "augment": {"blur": 1.0}},
        {"data": "digits", "loss": "no_such_loss"},
        {"data": "diabetes", "label_smoothing": 0.1},
    ],
    ids=["augmented table", "unknown augmentation", "unknown loss", "smoothed quantity"],
)
def test_a_recipe_that_does_not_fit_is_refused_before_a_run_is_made(
    tmp_path: Path, fields: dict[str, Any]
):
    with pytest.raises(InputError):
        train(Recipe(**({"model": "mlp", "epochs": 1} | fields)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_label_smoothing_raises_the_loss_of_sure_answers(
    few_digits: Splits, brief: Brief, tmp_path: Path, state_of: StateOf
):
    still = {"optimizer": "sgd", "learning_rate": STILL, "epochs": 1}
    runs = [
        train(brief(label_smoothing=s, **still), tmp_path / str(s), data=few_digits)
        for s in (0.0, 0.5)
    ]
    model = runs[0].load()
    likelihood = np.log(model.predict(few_digits.train.inputs, verbose=0))
    targets = np.eye(10)[few_digits.train.targets]
    for run, smoothing in zip(runs, (0.0, 0.5), strict=True):
        smooth = targets * (1 - smoothing) + smoothing / 10
        expected = -(smooth * likelihood).sum(axis=1).mean()
        assert state_of(run).history[0]["loss"] == pytest.approx(expected, rel=1e-3)


def test_a_quantity_is_learned(tmp_path: Path):
    recipe = Recipe(model="linear", data="diabetes", epochs=40, learning_rate=2.0, batch_size=64)
    run = train(recipe, tmp_path / "run")
    assert run.config.task == "regression"
    assert run.metrics["test"].keys() == {"r2", "mae", "mse"}
    assert run.metrics["test"]["r2"] > 0.3
    assert not (run.path / "confusion_matrix.png").exists()
    assert run.encoder is not None
    assert run.encoder.features == run.card.input.features
    assert len(run.encoder.features) == 10


def test_a_constant_column_stands_still(clouds: Splits, tmp_path: Path):
    def with_constant(examples: Examples) -> Examples:
        column = np.full((len(examples), 1), 0.1, "float32")
        return replace(examples, inputs=np.concatenate([examples.inputs, column], axis=1))

    data = replace(clouds, **{n: with_constant(clouds[n]) for n in ("train", "validation", "test")})
    run = train(Recipe(model="softmax", data="clouds", epochs=1), tmp_path / "run", data=data)
    outputs = run.load().get_layer("standardize")(data.test.inputs + np.float32([0, 0, 0.01]))
    assert np.abs(np.asarray(outputs)[:, 2]).max() < 1


def test_pictures_are_reconstructed(digits: Splits, tmp_path: Path):
    recipe = Recipe(
        model="autoencoder",
        data="digits",
        arguments={"code": 16},
        epochs=10,
        learning_rate=0.01,
        augment={"noise": 0.05},
    )
    run = train(recipe, tmp_path / "run")
    assert run.config.task == "reconstruction"
    assert run.config.labels == []
    assert run.metrics["test"].keys() == {"mse", "r2"}
    assert run.metrics["test"]["r2"] > 0.3
    assert run.load().output_shape == (None, 8, 8, 1)
