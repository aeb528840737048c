"""Training: the same for the same seed, exact over interruptions, and whole on disk."""

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from recipes import Recipe, Run, Splits, evaluate, train
from recipes.data import Examples
from recipes.run import State
from zoo import CheckFailed, InputError, cards
from zoo.files import sha256_of

Brief = Callable[..., Recipe]
History = Callable[[Run], list[dict[str, float]]]
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


class Spoil(keras.callbacks.Callback):
    """Multiplies all weights by a factor when an epoch begins."""

    def __init__(self, epoch: int, factor: float) -> None:
        super().__init__()
        self.epoch, self.factor = epoch, factor

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.model.set_weights([w * self.factor for w in self.model.get_weights()])


def state_of(run: Run) -> State:
    state = run.read_state()
    assert state is not None
    return state


def initial(run: Run) -> Weights:
    return keras.saving.load_model(run.path / "initial.keras", compile=False).get_weights()


def assert_equal(one: Weights, other: Weights) -> None:
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, y)


def differ(one: Weights, other: Weights) -> bool:
    return any((x != y).any() for x, y in zip(one, other, strict=True))


def test_one_seed_gives_one_result_and_another_another(
    few_digits: Splits, brief: Brief, tmp_path: Path
):
    def trained(name: str, seed: int) -> tuple[list[dict[str, float]], Weights]:
        recipe = brief(arguments={"hidden": [16], "dropout": 0.2}, augment={"crop": 1}, seed=seed)
        run = train(recipe, tmp_path / name, data=few_digits)
        return state_of(run).history, run.load().get_weights()

    one, same, other = trained("one", 1), trained("same", 1), trained("other", 2)
    assert one[0] == same[0] != other[0]
    assert_equal(one[1], same[1])
    assert differ(one[1], other[1])


THOROUGH = {
    "model": "mlp",
    "data": "digits",
    "epochs": 4,
    "arguments": {"hidden": [16], "dropout": 0.2, "batch_norm": True},
    "optimizer": "adamw",
    "weight_decay": 1e-2,
    "learning_rate": 0.01,
    "schedule": "cosine",
    "warmup": 0.2,
    "ema": 0.9,
    "augment": {"crop": 1},
}


@pytest.fixture(scope="module")
def killed(
    process: Callable[..., Any], learning: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a training that was killed right after its second epoch."""
    out = tmp_path_factory.mktemp("killed") / "run"
    job = {"source": None, "out": str(out), "resume": False, "fields": THOROUGH, "kill": 1}
    ended = process(learning, json.dumps([job]))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return out


@pytest.mark.slow
def test_a_killed_run_stands_after_its_last_whole_epoch(killed: Path):
    run = Run(killed)
    assert not run.finished
    state = state_of(run)
    assert state.epoch == len(state.history) == 2
    with pytest.raises(InputError, match="not finished; resume it"):
        evaluate(killed)


@pytest.mark.slow
def test_a_resumed_run_goes_exactly_as_one_that_was_never_killed(
    killed: Path,
    process: Callable[..., Any],
    learning: str,
    assert_same: Callable[[Run, Run], None],
    history_of: History,
    tmp_path: Path,
):
    resumed, straight = tmp_path / "resumed", tmp_path / "straight"
    shutil.copytree(killed, resumed)
    for out in (resumed, straight):
        job = {
            "source": None,
            "out": str(out),
            "resume": out is resumed,
            "fields": THOROUGH,
            "kill": None,
        }
        ended = process(learning, json.dumps([job]))
        assert ended.returncode == 0, ended.stderr
    assert_same(Run(resumed), Run(straight))
    rows = history_of(Run(straight))
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert history_of(Run(resumed)) == rows
    assert {"loss", "val_loss", "learning_rate"} < rows[0].keys()


def test_a_state_that_cannot_be_written_leaves_the_old_one(
    short_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(short_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    state, before = state_of(run), (run.path / "state.npz").read_bytes()
    files = set(run.path.iterdir())

    def half(file: Path, **arrays: np.ndarray) -> None:
        Path(file).write_bytes(before[: len(before) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", half)
    state.epoch += 1
    with pytest.raises(OSError, match="No space left"):
        run.write_state(state)
    assert (run.path / "state.npz").read_bytes() == before
    assert set(run.path.iterdir()) == files


def test_a_run_that_ended_between_its_best_weights_and_its_state_resumes_exactly(
    few_digits: Splits,
    brief: Brief,
    assert_same: Callable[[Run, Run], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    straight = train(brief(), tmp_path / "straight", data=few_digits)
    assert state_of(straight).best_epoch == 2
    write = Run.write_state

    def full(run: Run, state: State) -> None:
        if state.epoch == 2:
            raise OSError(28, "No space left on device")
        write(run, state)

    monkeypatch.setattr(Run, "write_state", full)
    with pytest.raises(OSError, match="No space left"):
        train(brief(), tmp_path / "run", data=few_digits)
    monkeypatch.undo()
    assert_same(train(brief(), tmp_path / "run", data=few_digits, resume=True), straight)


@pytest.mark.parametrize("name", ["initial.keras", "kept-1.weights.h5"])
def test_a_run_is_not_finished_from_a_changed_file(
    few_digits: Splits, brief: Brief, tmp_path: Path, name: str
):
    recipe = brief(optimizer="sgd", learning_rate=STILL, epochs=2)  # no epoch is better than one
    with pytest.raises(CheckFailed):
        train(recipe, tmp_path / "run", data=few_digits, callbacks=[Spoil(1, float("nan"))])
    file = tmp_path / "run" / name
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is missing or damaged"):
        train(recipe, tmp_path / "run", data=few_digits, resume=True)


def test_a_state_goes_through_its_file_unchanged(short_run: Run, tmp_path: Path):
    shutil.copytree(short_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    state = state_of(run)
    run.write_state(replace(state, epoch=7, best=[0.1, -1 / 3], kept_epoch=5))
    again = state_of(run)
    assert (again.epoch, again.best, again.kept_epoch) == (7, [0.1, -1 / 3], 5)
    assert again.history == state.history
    assert_equal(again.model + again.optimizer, state.model + state.optimizer)


@pytest.mark.parametrize("name", ["state.npz", "samples.npz"])
def test_a_damaged_file_of_a_run_is_named(short_run: Run, tmp_path: Path, name: str):
    shutil.copytree(short_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    content = (run.path / name).read_bytes()
    read = run.read_state if name == "state.npz" else lambda: run.samples("calibration")
    for damaged in (content[: len(content) // 2], b"", content[:100] + content[101:]):
        (run.path / name).write_bytes(damaged)
        with pytest.raises(InputError, match=f"{name} is damaged"):
            read()


def test_a_damaged_config_is_named(short_run: Run, tmp_path: Path):
    shutil.copytree(short_run.path, tmp_path / "run")
    content = (tmp_path / "run" / "config.json").read_bytes()
    (tmp_path / "run" / "config.json").write_bytes(content[:-20])
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        Run(tmp_path / "run")


@pytest.mark.parametrize("keep", ["best", "last"])
def test_patience_stops_a_training_that_does_not_get_better(
    few_digits: Splits, brief: Brief, tmp_path: Path, keep: str
):
    recipe = brief(optimizer="sgd", learning_rate=STILL, epochs=6, patience=2, keep=keep)
    run = train(recipe, tmp_path / "run", data=few_digits)
    state = state_of(run)
    assert state.epoch == 6
    assert len(state.history) == run.card.training.epochs == 3
    assert run.card.training.best_epoch == (1 if keep == "best" else 3)


def test_the_best_epoch_is_kept(few_digits: Splits, brief: Brief, tmp_path: Path):
    snapshots = Snapshots()
    run = train(
        brief(epochs=3), tmp_path / "run", data=few_digits, callbacks=[Spoil(2, 0.0), snapshots]
    )
    assert state_of(run).best_epoch == run.card.training.best_epoch == 2
    assert_equal(run.load().get_weights(), snapshots.epochs[1])


def test_the_last_epoch_is_kept_on_request(few_digits: Splits, brief: Brief, tmp_path: Path):
    snapshots = Snapshots()
    run = train(
        brief(epochs=3, keep="last"),
        tmp_path / "run",
        data=few_digits,
        callbacks=[Spoil(2, 0.0), snapshots],
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


def test_validation_is_of_the_moving_average(few_digits: Splits, brief: Brief, tmp_path: Path):
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
    few_digits: Splits, brief: Brief, tmp_path: Path, precision: str
):
    run = train(brief(precision=precision, epochs=3), tmp_path / "run", data=few_digits)
    losses = [row["loss"] for row in state_of(run).history]
    assert losses[-1] < 0.8 * losses[0]
    model = run.load()
    assert {w.dtype for w in model.weights} == {"float32"}
    assert {layer.compute_dtype for layer in model.layers} <= {"float32", "uint8"}
    assert model.output.dtype == "float32"


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(
    few_digits: Splits, brief: Brief, tmp_path: Path
):
    with pytest.raises(CheckFailed, match=r"epoch 2: lower the learning rate"):
        train(
            brief(epochs=3), tmp_path / "run", data=few_digits, callbacks=[Spoil(1, float("nan"))]
        )
    run = Run(tmp_path / "run")
    state = state_of(run)
    assert not run.finished
    assert (state.epoch, len(state.history)) == (1, 1)
    assert all(np.isfinite(array).all() for array in state.model + state.optimizer)
    resumed = train(run.config.recipe, run.path, data=few_digits, resume=True)
    assert resumed.card.training.epochs == 3


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


def test_limited_examples_are_what_a_run_learns_from_and_resumes_with(
    digits: Splits, brief: Brief, tmp_path: Path
):
    recipe = brief(examples=200, epochs=2)
    with pytest.raises(CheckFailed):
        train(recipe, tmp_path / "run", data=digits, callbacks=[Spoil(1, float("nan"))])
    run = Run(tmp_path / "run")
    assert run.config.dataset.examples["train"] == pytest.approx(200, abs=5)
    assert train(recipe, run.path, data=digits, resume=True).finished


def test_limited_examples_of_a_named_set_resume_by_themselves(
    digits: Splits, brief: Brief, tmp_path: Path
):
    recipe = brief(examples=200, epochs=2)
    with pytest.raises(CheckFailed):
        train(recipe, tmp_path / "run", callbacks=[Spoil(1, float("nan"))])
    assert train(recipe, tmp_path / "run", resume=True).finished


@pytest.mark.slow
def test_a_run_needs_nothing_from_outside(
    pictures: Callable[..., Path], process: Callable[..., Any], tmp_path: Path
):
    folder = pictures({"a": 12, "b": 12})
    recipe = Recipe(
        model="softmax", data=str(folder), data_options={"shape": (10, 12, 3)}, epochs=1
    )
    run = train(recipe, tmp_path / "run")
    shutil.rmtree(folder)
    code = "import json, sys, recipes; print(json.dumps(recipes.evaluate(sys.argv[1])))"
    ended = process(code, run.path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == pytest.approx(run.metrics["test"], rel=1e-5)


def test_a_finished_run_has_all_its_files(short_run: Run):
    names = {path.name for path in short_run.path.iterdir()}
    assert names == {
        "config.json",
        "initial.keras",
        "samples.npz",
        "state.npz",
        f"kept-{state_of(short_run).kept_epoch}.weights.h5",
        "history.csv",
        "tensorboard",
        "learning_curve.png",
        "metrics.json",
        "confusion_matrix.png",
        "model.keras",
        "card.json",
    }
    assert list((short_run.path / "tensorboard").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize("name", ["learning_curve.png", "confusion_matrix.png"])
def test_plots_are_pictures_with_something_on_them(short_run: Run, name: str):
    with Image.open(short_run.path / name) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) > 200
    assert len(np.unique(pixels)) > 10


def test_the_history_on_disk_is_the_states(short_run: Run, history_of: History):
    rows = history_of(short_run)
    assert rows == state_of(short_run).history
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_the_card_agrees_with_the_run(short_run: Run, few_digits: Splits):
    card, state, config = short_run.card, state_of(short_run), short_run.config
    assert cards.read(short_run.path / "card.json") == card
    assert {(m.split, m.name): m.value for m in card.metrics} == {
        (split, name): value
        for split, values in short_run.metrics.items()
        for name, value in values.items()
    }
    assert {m.split: m.examples for m in card.metrics} == {"validation": 100, "test": 100}
    main = card.metric()
    assert main is not None
    assert main.name == "accuracy"
    assert (card.training.epochs, card.training.best_epoch) == (3, state.best_epoch)
    assert card.dataset.fingerprint == few_digits.fingerprint
    assert card.dataset.examples == few_digits.sizes
    assert card.labels == config.labels == list(few_digits.labels)
    assert card.weights.sha256 == sha256_of(short_run.path / "model.keras")
    assert card.recipe["arguments"] == config.recipe.arguments
    assert card.input.shape == [8, 8, 1]
    assert card.input.dtype == "uint8"


def test_the_card_counts_the_parameters(short_run: Run):
    # 64 × 16 without bias, scale and shift of the normalization, then 16 × 10 and a bias.
    assert short_run.card.parameters.trainable == 64 * 16 + 2 * 16 + 17 * 10
    assert short_run.card.parameters.non_trainable == 2 * 16


def test_the_best_figure_is_that_of_its_epoch(short_run: Run):
    state = state_of(short_run)
    row = state.history[state.best_epoch - 1]
    assert state.best == [row["val_accuracy"], -row["val_loss"]]
    assert state.best == max([r["val_accuracy"], -r["val_loss"]] for r in state.history)


def test_the_metrics_are_those_of_the_kept_model(short_run: Run, few_digits: Splits):
    for split in ("validation", "test"):
        measured = evaluate(short_run.load(), few_digits, split=split)
        assert measured == pytest.approx(short_run.metrics[split], rel=1e-5)
    kept = state_of(short_run)
    assert short_run.metrics["validation"]["accuracy"] == pytest.approx(kept.best[0], abs=1e-6)


def test_a_run_keeps_its_test_examples_and_some_to_calibrate_with(
    short_run: Run, few_digits: Splits
):
    test = short_run.samples("test")
    np.testing.assert_array_equal(test.inputs, few_digits.test.inputs)
    np.testing.assert_array_equal(test.targets, few_digits.test.targets)
    calibration = short_run.samples("calibration")
    assert len(calibration) == 256
    known = {image.tobytes() for image in few_digits.train.inputs}
    assert all(image.tobytes() in known for image in calibration.inputs)


def test_no_other_part_is_kept(short_run: Run):
    with pytest.raises(InputError, match=r"samples\.npz"):
        short_run.samples("validation")


def test_a_folder_that_is_taken_is_refused(short_run: Run, few_digits: Splits, brief: Brief):
    before = sha256_of(short_run.path)
    with pytest.raises(InputError, match="exists already"):
        train(brief(), short_run.path, data=few_digits)
    assert sha256_of(short_run.path) == before


def test_an_empty_folder_is_not_taken(few_digits: Splits, brief: Brief, tmp_path: Path):
    assert train(brief(epochs=1), tmp_path, data=few_digits).finished


def test_a_finished_run_is_returned_as_it_is(short_run: Run, few_digits: Splits, brief: Brief):
    before = sha256_of(short_run.path)
    again = train(brief(), short_run.path, data=few_digits, resume=True)
    assert again.card == short_run.card
    assert sha256_of(short_run.path) == before


def test_what_is_no_run_cannot_be_resumed(brief: Brief, tmp_path: Path):
    with pytest.raises(InputError, match=r"is no run: it holds no config\.json"):
        train(brief(), tmp_path, resume=True)


def test_a_run_is_not_resumed_with_other_data(
    few_digits: Splits, digits: Splits, brief: Brief, tmp_path: Path
):
    with pytest.raises(CheckFailed):
        train(brief(), tmp_path / "run", data=few_digits, callbacks=[Spoil(1, float("nan"))])
    before = sha256_of(tmp_path / "run")
    with pytest.raises(InputError, match=r"is not what .* was started with"):
        train(brief(), tmp_path / "run", data=digits, resume=True)
    assert sha256_of(tmp_path / "run") == before


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
    few_digits: Splits, brief: Brief, tmp_path: Path
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


def test_a_finished_run_is_loaded_by_its_path(short_run: Run, few_digits: Splits):
    for path in (short_run.path, str(short_run.path)):
        outputs = zoo.load(path).predict(few_digits.test.inputs, verbose=0)
        np.testing.assert_array_equal(
            outputs, short_run.load().predict(few_digits.test.inputs, verbose=0)
        )
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
