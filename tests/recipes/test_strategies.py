"""Strategies of fine-tuning: what learns when, how fast, and exactly so after an interruption."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from recipes import Recipe, Run, Splits, evaluate, finetune, train
from recipes.data import Examples
from recipes.data.splits import SPLITS
from recipes.phases import thaw
from recipes.run import State
from zoo import InputError, surgery

StateOf = Callable[[Run], State]


class Moved(keras.callbacks.Callback):
    """Names, after each epoch, the layers that it changed."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[set[str]] = []
        self.distances: list[dict[str, float]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.before = kernels(self.model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        after = kernels(self.model)
        self.distances.append({n: float(abs(after[n] - self.before[n]).max()) for n in after})
        self.layers.append({name for name, distance in self.distances[-1].items() if distance})


def kernels(model: keras.Model) -> dict[str, np.ndarray]:
    return {layer.name: layer.get_weights()[0] for layer in model.layers if layer.weights}


@pytest.fixture
def deep() -> keras.Model:
    keras.utils.set_random_seed(0)
    return zoo.build("mlp", input_shape=(8, 8, 1), hidden=(16, 14, 12), batch_norm=True)


def names(stages: list[list[keras.Layer]]) -> list[list[str]]:
    return [[layer.name for layer in stage] for stage in stages]


def test_the_stages_are_what_the_model_names(deep: keras.Model):
    assert names(surgery.stages(deep)) == [["dense1"], ["dense2"], ["dense3"]]
    lenet = names(surgery.stages(zoo.build("lenet5")))
    assert [len(stage) for stage in lenet] == [1, 1, 2]  # the last: what follows the last stage
    assert all("predictions" not in stage for stage in lenet)


def test_a_model_that_names_no_stages_is_divided():
    x = inputs = keras.Input((4,))
    for number in range(9):
        x = keras.layers.Dense(4, name=f"d{number}")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="predictions")(x))
    sizes = [len(stage) for stage in surgery.stages(model)]
    assert sizes == [3, 3, 3]
    assert surgery.stages(zoo.build("softmax")) == []


def test_batch_normalization_is_in_its_stage_where_it_learns(deep: keras.Model):
    assert [len(stage) for stage in surgery.stages(deep, normalization=True)] == [2, 2, 2]


def test_the_layers_of_a_residual_stage_end_with_it():
    stages = surgery.stages(zoo.build("resnet20"))
    assert len(stages) == 3
    for number, stage in enumerate(stages, start=1):
        assert all("stage" not in layer.name or f"stage{number}" in layer.name for layer in stage)


def test_shares_of_the_rate_fall_from_the_head_down(deep: keras.Model):
    shares = thaw(deep, surgery.stages(deep), 3, 2.0)
    found = {v.path: s for v, s in zip(deep.trainable_variables, shares, strict=True)}
    assert found == {
        "dense1/kernel": 0.125,
        "dense2/kernel": 0.25,
        "dense3/kernel": 0.5,
        "predictions/kernel": 1.0,
        "predictions/bias": 1.0,
    }


def test_frozen_features_stay_as_they_are(deep: keras.Model, few_digits: Splits, tmp_path: Path):
    moved = Moved()
    finetune(
        deep,
        few_digits,
        tmp_path / "run",
        epochs=2,
        head_epochs=1,
        strategy="frozen",
        callbacks=[moved],
    )
    assert moved.layers == [{"predictions"}] * 3


def test_batch_normalization_learns_with_its_stage_where_it_is_asked_to(
    deep: keras.Model, few_digits: Splits, tmp_path: Path
):
    moved = Moved()
    run = finetune(
        deep,
        few_digits,
        tmp_path / "run",
        epochs=2,
        head_epochs=1,
        strategy="gradual",
        train_normalization=True,
        keep="last",
        callbacks=[moved],
    )
    last = {"predictions", "dense3", "batch_norm3", "dense2", "batch_norm2"}
    assert moved.layers == [{"predictions"}, last, last | {"dense1", "batch_norm1"}]
    mean, own = (m.get_layer("batch_norm1").get_weights()[2] for m in (run.load(), deep))
    assert (mean != own).any()


def test_gradual_thaws_a_stage_more_in_each_epoch(
    deep: keras.Model, few_digits: Splits, tmp_path: Path
):
    moved = Moved()
    run = finetune(
        deep,
        few_digits,
        tmp_path / "run",
        epochs=4,
        head_epochs=1,
        strategy="gradual",
        callbacks=[moved],
    )
    top = {"predictions"}
    assert moved.layers == [
        top,
        top | {"dense3"},
        top | {"dense3", "dense2"},
        top | {"dense3", "dense2", "dense1"},
        top | {"dense3", "dense2", "dense1"},
    ]
    assert all(layer.trainable for layer in run.load().layers)


@pytest.mark.parametrize("optimizer", ["adam", "lion", "muon"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_discriminative_moves_lower_stages_less(
    deep: keras.Model, few_digits: Splits, tmp_path: Path, optimizer: str, precision: str
):
    moved = Moved()
    run = finetune(
        deep,
        few_digits,
        tmp_path / "run",
        epochs=1,
        head_epochs=0,
        strategy="discriminative",
        stage_factor=10.0,
        optimizer=optimizer,
        precision=precision,
        callbacks=[moved],
    )
    far = [moved.distances[0][name] for name in ("dense1", "dense2", "dense3", "predictions")]
    ratios = np.array(far[1:]) / far[:-1]
    assert (ratios > 3).all()
    assert (ratios < 30).all()
    assert run.card.recipe["stage_factor"] == 10.0


def test_a_strategy_of_a_model_without_stages_is_one_of_its_head(
    few_digits: Splits, tmp_path: Path
):
    moved = Moved()
    softmax = zoo.build("softmax", input_shape=(8, 8, 1))
    fields = {"epochs": 2, "head_epochs": 1, "strategy": "gradual", "callbacks": [moved]}
    finetune(softmax, few_digits, tmp_path / "run", **fields)
    assert moved.layers == [{"predictions"}] * 3


FIELDS = {
    "head_epochs": 1,
    "epochs": 3,
    "batch_size": 128,
    "learning_rate": 0.01,
    "schedule": "cosine",
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "ema": 0.9,
    "augment": {"crop": 1},
}
STRATEGIES = {
    "frozen": {"strategy": "frozen"},
    "gradual": {"strategy": "gradual", "stage_factor": 2.0},
    "discriminative": {"strategy": "discriminative", "optimizer": "muon"},
    "float16": {"strategy": "discriminative", "precision": "mixed_float16"},
    "kept": {"strategy": "gradual", "keep_classes": True, "examples": 300},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_run_killed_in_any_phase_resumes_exactly(
    name: str,
    deep_run: Run,
    process: Callable[..., Any],
    learning: str,
    assert_same: Callable[[Run, Run], None],
    state_of: StateOf,
    tmp_path: Path,
):
    fields = FIELDS | STRATEGIES[name]

    def job(out: str, kill: int | None = None, resume: bool = False) -> dict[str, Any]:
        place = str(tmp_path / out)
        common = {"source": str(deep_run.path), "resume": resume}
        return common | {"out": place, "fields": fields, "kill": kill}

    for epoch in (1, 2):  # of "gradual": the end of a phase, and within the next
        ended = process(learning, json.dumps([job(f"killed{epoch}", kill=epoch)]))
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert state_of(Run(tmp_path / f"killed{epoch}")).epoch == epoch + 1
    again = [job(f"killed{epoch}", resume=True) for epoch in (1, 2)]
    ended = process(learning, json.dumps([job("straight"), *again]))
    assert ended.returncode == 0, ended.stderr
    straight = Run(tmp_path / "straight")
    assert len(state_of(straight).history) == 4
    for epoch in (1, 2):
        assert_same(Run(tmp_path / f"killed{epoch}"), straight)


@pytest.fixture(scope="module")
def deep_run(digits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A perceptron that knows the digits up to 6."""
    recipe = Recipe(
        model="mlp",
        arguments={"hidden": [16, 12], "batch_norm": True},
        data="digits",
        epochs=6,
        batch_size=64,
        learning_rate=0.01,
    )
    data = only(digits, range(7))
    return train(recipe, tmp_path_factory.mktemp("deep") / "run", data=data)


def only(data: Splits, numbers: range) -> Splits:
    """Return the data with some of its classes."""

    def part(examples: Examples) -> Examples:
        chosen = np.isin(examples.targets, numbers)
        return Examples(examples.inputs[chosen], examples.targets[chosen] - numbers.start)

    train, validation, test = (part(data[name]) for name in SPLITS)
    labels = tuple(data.labels[n] for n in numbers)
    return replace(data, train=train, validation=validation, test=test, labels=labels)


def test_old_logits_stay_when_outputs_are_added():
    keras.utils.set_random_seed(0)
    old = zoo.build("mlp", input_shape=(8, 8, 1), hidden=(16,), classifier_activation=None)
    new = surgery.with_more_classes(old, 3)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), "uint8")
    before, after = (model.predict(pictures, verbose=0) for model in (old, new))
    assert after.shape == (5, 13)
    np.testing.assert_array_equal(after[:, :10], before)
    assert (np.ptp(after[:, 10:], axis=0) > 0).all()


def test_kept_classes_come_first_and_one_of_both_is_one(
    deep_run: Run, digits: Splits, tmp_path: Path
):
    data = only(digits, range(5, 10))  # 5 and 6 are known, 7 to 9 are not
    run = finetune(
        deep_run.path, data, tmp_path / "run", epochs=4, keep_classes=True, learning_rate=3e-3
    )
    assert run.card.labels == run.config.labels == [str(n) for n in range(10)]
    start, source = run.load_initial().layers[-1], deep_run.load().layers[-1]
    for own, old in zip(start.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(own[..., :7], old)
    assert run.load().output_shape == (None, 10)
    assert set(run.samples("test").targets) == set(range(5, 10))
    assert run.metrics["test"]["accuracy"] > 0.8
    assert evaluate(run.path, data) == pytest.approx(run.metrics["test"], rel=1e-5)
    assert evaluate(run.path, digits)["accuracy"] > 0.2  # some of what the source knew is left
    assert run.card.arguments["classes"] == 10


def test_frozen_features_forget_fewer_kept_classes(deep_run: Run, digits: Splits, tmp_path: Path):
    old, new = only(digits, range(7)), only(digits, range(7, 10))
    before = evaluate(deep_run.path, old)["accuracy"]
    fields = {"epochs": 1, "head_epochs": 1, "keep_classes": True, "strategy": "frozen"}
    run = finetune(deep_run.path, new, tmp_path / "run", **fields)
    assert evaluate(run.path, old)["accuracy"] > 0.5 * before


def test_kept_classes_without_new_ones_leave_the_head(
    deep_run: Run, digits: Splits, tmp_path: Path
):
    fields = {"epochs": 1, "head_epochs": 0, "keep_classes": True}
    run = finetune(deep_run.path, only(digits, range(2, 4)), tmp_path / "run", **fields)
    assert run.card.labels == deep_run.card.labels
    start, source = run.load_initial().layers[-1], deep_run.load().layers[-1]
    for own, old in zip(start.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(own, old)


@pytest.mark.parametrize("field", [{"class_weights": True}, {"sampling": "over"}])
def test_classes_are_balanced_among_those_that_have_examples(
    deep_run: Run, digits: Splits, tmp_path: Path, field: dict[str, Any], state_of: StateOf
):
    data = only(digits, range(7, 10))
    fields = {"epochs": 1, "head_epochs": 0, "keep_classes": True, "learning_rate": 1e-30} | field
    run = finetune(deep_run.path, data, tmp_path / "run", **fields)
    row = state_of(run).history[0]
    assert row["loss"] == pytest.approx(row["val_loss"], rel=0.3)


def test_kept_classes_need_names(deep: keras.Model, few_digits: Splits, tmp_path: Path):
    with pytest.raises(InputError, match="'mlp' names no classes that could be kept"):
        finetune(deep, few_digits, tmp_path / "run", keep_classes=True)


def wider(examples: Examples) -> Examples:
    return replace(examples, inputs=np.pad(examples.inputs, [(0, 0), (10, 10), (10, 10), (0, 0)]))


def test_kept_classes_are_for_classes(few_digits: Splits, tmp_path: Path):
    with pytest.raises(InputError, match="keep_classes is for classes, not for regression"):
        finetune("linear-diabetes", "diabetes", tmp_path / "run", keep_classes=True)
    framed = replace(few_digits, **{name: wider(few_digits[name]) for name in SPLITS})
    with pytest.raises(InputError, match="keep_classes is for classes, not for reconstruction"):
        finetune("autoencoder-mnist", framed, tmp_path / "run", keep_classes=True)
    assert not list(tmp_path.iterdir())
