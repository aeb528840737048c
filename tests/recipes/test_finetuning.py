"""Fine-tuning: a copy learns other data, the source stays as it is."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from recipes import Recipe, Run, Splits, evaluate, finetune, train
from recipes.data import Examples
from recipes.data.splits import SPLITS
from recipes.run import State
from zoo import InputError
from zoo.files import sha256_of

Pictures = Callable[..., Path]
Weights = list[np.ndarray]


class Snapshots(keras.callbacks.Callback):
    """Keeps the weights after each epoch, by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[dict[str, Weights]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(by_layer(self.model))


def by_layer(model: keras.Model) -> dict[str, Weights]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def equal(one: Weights, other: Weights) -> bool:
    return all((x == y).all() for x, y in zip(one, other, strict=True))


def initial(run: Run) -> keras.Model:
    return keras.saving.load_model(run.path / "initial.keras", compile=False)


def state_of(run: Run) -> State:
    state = run.read_state()
    assert state is not None
    return state


def flags(model: keras.Model) -> list[tuple[str, bool]]:
    return [(layer.name, layer.trainable) for layer in model._flatten_layers()]


def normalizations(model: keras.Model) -> Iterator[keras.Layer]:
    return (
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    )


def used(model: keras.Model) -> keras.Model:
    """Give every batch normalization statistics and weights of its own."""
    rng = np.random.default_rng(0)
    for layer in normalizations(model):
        layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


@pytest.fixture
def mlp() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = zoo.build("mlp", input_shape=(8, 8, 1), hidden=(16, 12), batch_norm=True)
    return used(model)


@pytest.fixture
def lenet() -> keras.Model:
    keras.utils.set_random_seed(0)
    return zoo.build("lenet5")


@pytest.fixture(scope="module")
def renamed(few_digits: Splits) -> Splits:
    """The digits under other names."""
    return replace(few_digits, labels=tuple(f"digit {label}" for label in few_digits.labels))


def test_the_source_stays_as_it_is(mlp: keras.Model, few_digits: Splits, tmp_path: Path):
    mlp.get_layer("dense1").trainable = False
    weights, before = [w.tobytes() for w in mlp.get_weights()], flags(mlp)
    finetune(mlp, few_digits, tmp_path / "run", epochs=1, head_epochs=1)
    assert [w.tobytes() for w in mlp.get_weights()] == weights
    assert flags(mlp) == before


def test_the_folder_of_the_source_stays_as_it_is(
    short_run: Run, few_digits: Splits, tmp_path: Path
):
    before = sha256_of(short_run.path)
    run = finetune(short_run.path, few_digits, tmp_path / "run", epochs=1, head_epochs=0)
    assert sha256_of(short_run.path) == before
    assert run.card.architecture == "mlp"
    assert run.card.recipe["model"] == str(short_run.path)
    assert run.card.recipe["fine_tuning"] is True


def test_batch_normalization_keeps_statistics_and_weights(
    mlp: keras.Model, few_digits: Splits, tmp_path: Path
):
    run = finetune(mlp, few_digits, tmp_path / "run", epochs=2, head_epochs=1, learning_rate=0.05)
    tuned = run.load()
    for source, own in zip(normalizations(mlp), normalizations(tuned), strict=True):
        assert len(own.weights) == 4
        assert equal(source.get_weights(), own.get_weights())
    assert not equal(mlp.get_layer("dense1").get_weights(), tuned.get_layer("dense1").get_weights())


def test_batch_normalization_inside_a_nested_model_keeps_them_too(
    few_digits: Splits, tmp_path: Path
):
    keras.utils.set_random_seed(0)
    base = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(16, name="inner"),
            keras.layers.BatchNormalization(name="inner_norm"),
        ],
        name="base",
    )
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = base(keras.layers.Flatten()(x))
    model = keras.Model(inputs, keras.layers.Dense(10, name="predictions")(x), name="nested")
    source = used(model).get_layer("base")
    run = finetune(model, few_digits, tmp_path / "run", epochs=1, head_epochs=1, learning_rate=0.05)
    tuned = run.load().get_layer("base")
    norm = source.get_layer("inner_norm").get_weights()
    assert equal(norm, tuned.get_layer("inner_norm").get_weights())
    inner = source.get_layer("inner").get_weights()
    assert not equal(inner, tuned.get_layer("inner").get_weights())


def test_first_only_the_head_learns_then_everything(
    mlp: keras.Model, few_digits: Splits, tmp_path: Path
):
    snapshots = Snapshots()
    run = finetune(
        mlp, few_digits, tmp_path / "run", epochs=1, head_epochs=2, callbacks=[snapshots]
    )
    start = by_layer(initial(run))
    for epoch in snapshots.epochs[:2]:
        changed = {name for name in start if not equal(start[name], epoch[name])}
        assert changed == {"predictions"}
    last = snapshots.epochs[2]
    changed = {name for name in start if not equal(start[name], last[name])}
    assert changed == {"dense1", "dense2", "predictions"}
    assert state_of(run).epoch == len(snapshots.epochs) == 3


def test_each_phase_has_its_own_learning_rate(mlp: keras.Model, few_digits: Splits, tmp_path: Path):
    run = finetune(
        mlp,
        few_digits,
        tmp_path / "run",
        epochs=2,
        head_epochs=1,
        learning_rate=1e-3,
        head_learning_rate=1e-2,
        schedule="cosine",
    )
    rates = [row["learning_rate"] for row in state_of(run).history]
    assert rates == pytest.approx([1e-2, 5e-4, 0], rel=0.1, abs=1e-6)


def test_patience_of_the_head_does_not_end_the_whole(
    mlp: keras.Model, few_digits: Splits, tmp_path: Path
):
    run = finetune(
        mlp,
        few_digits,
        tmp_path / "run",
        epochs=2,
        head_epochs=3,
        head_learning_rate=1e-30,
        optimizer="sgd",
        learning_rate=0.05,
        patience=1,
    )
    assert state_of(run).history[-1]["learning_rate"] == pytest.approx(0.05)


def test_the_whole_model_can_be_trained_on_afterwards(
    short_run: Run, few_digits: Splits, tmp_path: Path
):
    run = finetune(short_run.path, few_digits, tmp_path / "run", epochs=1, head_epochs=0)
    assert run.card.parameters == short_run.card.parameters
    assert all(trainable for _, trainable in flags(run.load()))


def test_the_same_labels_keep_the_head(short_run: Run, few_digits: Splits, tmp_path: Path):
    run = finetune(short_run.path, few_digits, tmp_path / "run", epochs=1, head_epochs=0)
    start, source = by_layer(initial(run)), by_layer(short_run.load())
    assert equal(start["predictions"], source["predictions"])
    assert state_of(run).history[0]["loss"] < 1.2 * short_run.metrics["test"]["cross_entropy"]


def test_the_same_labels_in_another_order_keep_the_head(
    short_run: Run, few_digits: Splits, tmp_path: Path
):
    turned = few_digits.relabelled(few_digits.labels[::-1])
    run = finetune(short_run.path, turned, tmp_path / "run", epochs=1, head_epochs=0)
    start, source = by_layer(initial(run)), by_layer(short_run.load())
    assert equal(start["predictions"], source["predictions"])
    assert run.card.labels == list(few_digits.labels)
    assert run.metrics["test"]["accuracy"] > 0.9 * short_run.metrics["test"]["accuracy"]


@pytest.mark.parametrize("keep_classes", [False, True])
def test_logits_are_not_learned_from_as_probabilities(keep_classes: bool, tmp_path: Path):
    examples = Examples(np.zeros((20, 28, 28, 1), "uint8"), np.arange(20) % 10)
    digits = tuple(zoo.card("mlp-mnist").labels)
    data = Splits(examples, examples, examples, "classification", digits, "made", "none")
    logits = {"arguments": {"classifier_activation": None}, "keep_classes": keep_classes}
    with pytest.raises(InputError, match="leave out classifier_activation"):
        finetune("mlp-mnist", data, tmp_path / "run", epochs=1, **logits)
    assert not (tmp_path / "run").exists()


def test_other_labels_give_a_new_head(short_run: Run, renamed: Splits, tmp_path: Path):
    run = finetune(short_run.path, renamed, tmp_path / "run", epochs=1, head_epochs=0)
    start, source = by_layer(initial(run)), by_layer(short_run.load())
    assert not equal(start["predictions"], source["predictions"])
    assert equal(start["dense1"], source["dense1"])
    assert run.card.labels[0] == "digit 0"


def test_fewer_classes_give_a_smaller_head(mlp: keras.Model, few_digits: Splits, tmp_path: Path):
    parts = {name: few_digits[name].take(few_digits[name].targets < 3) for name in SPLITS}
    data = replace(few_digits, labels=("0", "1", "2"), **parts)
    run = finetune(mlp, data, tmp_path / "run", epochs=3, head_epochs=1, learning_rate=0.01)
    assert run.load().output_shape == (None, 3)
    assert run.metrics["test"]["accuracy"] > 0.6


def test_pictures_of_another_size_are_resized_inside(
    lenet: keras.Model, few_digits: Splits, tmp_path: Path
):
    run = finetune(lenet, few_digits, tmp_path / "run", epochs=1, head_epochs=1)
    model = run.load()
    assert model.input_shape == (None, 8, 8, 1)
    assert model.inputs[0].dtype == "uint8"
    resizing = [layer for layer in model.layers if isinstance(layer, keras.layers.Resizing)]
    assert [layer.output.shape for layer in resizing] == [(None, 28, 28, 1)]
    assert "the model resizes" in run.card.input.preprocessing
    assert evaluate(model, few_digits) == pytest.approx(run.metrics["test"], rel=1e-5)
    assert model.predict(few_digits.test.inputs[:3], verbose=0).shape == (3, 10)


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    """A folder of noisy pictures of mixed sizes: stripes across, stripes down, none."""
    rng = np.random.default_rng(0)
    for label in ("across", "down", "none"):
        (tmp_path / "stripes" / label).mkdir(parents=True)
        for number in range(40):
            height, width = rng.integers(28, 48, 2)
            rows, columns = np.mgrid[:height, :width]
            place = {"across": rows, "down": columns, "none": np.zeros_like(rows)}[label]
            light = 127 + 80 * np.sign(np.sin(place * 2 * np.pi / 8 + rng.uniform(0, 6)))
            grey = np.clip(light + rng.normal(0, 15, (height, width)), 0, 255).astype("uint8")
            file = tmp_path / "stripes" / label / f"{number}.png"
            Image.fromarray(grey).convert("RGB" if number % 2 else "L").save(file)
    return tmp_path / "stripes"


def test_a_folder_of_pictures_is_learned(lenet: keras.Model, stripes: Path, tmp_path: Path):
    run = finetune(
        lenet, stripes, tmp_path / "run", epochs=6, head_epochs=1, learning_rate=2e-3, batch_size=16
    )
    assert run.card.labels == ["across", "down", "none"]
    assert run.card.dataset.source == str(stripes)
    assert run.load().input_shape == (None, 28, 28, 1)
    assert run.metrics["test"]["accuracy"] > 0.8
    assert run.metrics["test"] == pytest.approx(evaluate(run.path), rel=1e-6)


def test_the_size_of_a_folders_pictures_can_be_named(
    lenet: keras.Model, stripes: Path, tmp_path: Path
):
    run = finetune(
        lenet,
        stripes,
        tmp_path / "run",
        epochs=1,
        head_epochs=0,
        data_options={"shape": (20, 24, 1)},
    )
    assert run.load().input_shape == (None, 20, 24, 1)


def test_the_source_is_built_for_the_size_that_is_asked_for(
    stripes: Path, tmp_path: Path, lenet: keras.Model
):
    # Filters need no size, and so the weights of a convolutional model fit every one.
    arguments = {"input_shape": [20, 20, 1]}
    run = finetune(
        "resnet20-fashion",
        stripes,
        tmp_path / "run",
        epochs=1,
        head_epochs=0,
        arguments=arguments,
    )
    model = run.load()
    assert model.input_shape == (None, 20, 20, 1)
    assert not any(isinstance(layer, keras.layers.Resizing) for layer in model.layers)
    assert run.card.architecture == "resnet20"
    assert run.card.arguments["input_shape"] == [20, 20, 1]
    with pytest.raises(InputError, match="is built already"):
        finetune(lenet, stripes, tmp_path / "other", arguments=arguments)
    with pytest.raises(InputError, match="cannot be built with input_shape=20"):
        finetune("resnet20-fashion", stripes, tmp_path / "other", arguments={"input_shape": 20})
    assert not (tmp_path / "other").exists()


def test_a_source_without_its_top_is_not_learned_from(tmp_path: Path):
    with pytest.raises(InputError, match="does not end in a Dense layer named 'predictions'"):
        finetune("lenet5-mnist", "digits", tmp_path / "run", arguments={"include_top": False})
    assert not (tmp_path / "run").exists()


def test_a_table_with_a_quantity_is_learned(tmp_path: Path):
    recipe = Recipe(
        model="mlp",
        arguments={"hidden": [16]},
        data="diabetes",
        epochs=4,
        learning_rate=0.05,
        batch_size=32,
    )
    source = train(recipe, tmp_path / "source")
    run = finetune(source.path, "diabetes", tmp_path / "run", epochs=4, learning_rate=0.05)
    assert run.config.task == "regression"
    assert run.load().output_shape == (None, 1)
    losses = [row["loss"] for row in state_of(run).history]
    assert losses[-1] < 0.5 * losses[0]
    standardize = [r.load().get_layer("standardize").get_weights() for r in (source, run)]
    assert equal(*standardize)


@pytest.mark.parametrize(
    ("model", "data", "head"),
    [("logistic", "breast_cancer", "logit"), ("autoencoder", "digits", "pixels")],
)
def test_the_head_is_the_last_layer_with_weights(tmp_path: Path, model: str, data: str, head: str):
    source = train(Recipe(model=model, data=data, epochs=1), tmp_path / "source")
    snapshots = Snapshots()
    run = finetune(
        source.path, data, tmp_path / "run", epochs=1, head_epochs=1, callbacks=[snapshots]
    )
    start, first = by_layer(initial(run)), snapshots.epochs[0]
    assert {name for name in start if not equal(start[name], first[name])} == {head}
    assert run.config.task == source.config.task


def test_limited_examples_are_what_is_learned_from(
    mlp: keras.Model, digits: Splits, tmp_path: Path
):
    run = finetune(mlp, digits, tmp_path / "run", epochs=1, head_epochs=0, examples=100)
    assert run.card.dataset.examples["train"] == pytest.approx(100, abs=5)


def colours(examples: Examples) -> Examples:
    return replace(examples, inputs=np.repeat(examples.inputs, 3, axis=-1))


def test_other_channels_are_refused(lenet: keras.Model, few_digits: Splits, tmp_path: Path):
    data = replace(few_digits, **{name: colours(few_digits[name]) for name in SPLITS})
    with pytest.raises(InputError, match=r"\(28, 28, 1\).*\(8, 8, 3\)"):
        finetune(lenet, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_table_is_refused_by_a_model_of_pictures(lenet: keras.Model, tmp_path: Path):
    with pytest.raises(InputError, match=r"\(28, 28, 1\); 'iris' holds \(4,\)"):
        finetune(lenet, "iris", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_without_a_head_is_refused(few_digits: Splits, tmp_path: Path):
    model = zoo.build("mlp", input_shape=(8, 8, 1), include_top=False)
    with pytest.raises(InputError, match="'predictions'"):
        finetune(model, few_digits, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_subclassed_model_is_refused(few_digits: Splits, tmp_path: Path):
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.flatten = keras.layers.Flatten()
            self.predictions = keras.layers.Dense(10, name="predictions")

        def call(self, x: Any) -> Any:
            return self.predictions(self.flatten(x))

    model = Own()
    model(few_digits.test.inputs[:1])
    with pytest.raises(InputError, match="'own' is a subclassed model"):
        finetune(model, few_digits, tmp_path / "run")


def test_an_unknown_source_is_refused(few_digits: Splits, tmp_path: Path):
    with pytest.raises(InputError, match="no pretrained model or run 'no-such-model'"):
        finetune("no-such-model", few_digits, tmp_path / "run")


def test_an_unfinished_run_is_no_source(few_digits: Splits, tmp_path: Path):
    recipe = Recipe(model="softmax", data="digits", epochs=1)
    model = zoo.build("softmax", input_shape=(8, 8, 1))
    task, arguments = "classification", {"input_shape": [8, 8, 1]}
    Run.create(tmp_path / "half", recipe, model, few_digits, task, "softmax", arguments)
    with pytest.raises(InputError, match="not finished; resume it"):
        finetune(tmp_path / "half", few_digits, tmp_path / "run")


def test_an_unknown_setting_is_refused(mlp: keras.Model, few_digits: Splits, tmp_path: Path):
    with pytest.raises((InputError, TypeError), match="shedule"):
        finetune(mlp, few_digits, tmp_path / "run", shedule="cosine")
    assert not (tmp_path / "run").exists()


FIELDS = {
    "epochs": 2,
    "head_epochs": 2,
    "batch_size": 128,
    "learning_rate": 0.01,
    "schedule": "cosine",
    "ema": 0.9,
    "augment": {"crop": 1},
}


@pytest.mark.slow
def test_a_run_killed_at_the_end_of_a_phase_or_within_the_second_resumes_exactly(
    short_run: Run,
    process: Callable[..., Any],
    learning: str,
    assert_same: Callable[[Run, Run], None],
    tmp_path: Path,
):
    def job(name: str, kill: int | None = None, resume: bool = False) -> dict[str, Any]:
        out, source = str(tmp_path / name), str(short_run.path)
        return {"source": source, "out": out, "resume": resume, "fields": FIELDS, "kill": kill}

    for name, epoch in (("boundary", 1), ("second", 2)):
        ended = process(learning, json.dumps([job(name, kill=epoch)]))
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert state_of(Run(tmp_path / name)).epoch == epoch + 1
        assert not Run(tmp_path / name).finished
    jobs = [job(name, resume=True) for name in ("boundary", "second")]
    for done in ([job("straight")], jobs):
        ended = process(learning, json.dumps(done))
        assert ended.returncode == 0, ended.stderr
    straight = Run(tmp_path / "straight")
    assert len(state_of(straight).history) == 4
    for name in ("boundary", "second"):
        assert_same(Run(tmp_path / name), straight)
