"""Generators and critics that learn: runs, interruptions, what they make, and what is refused."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import zoo
from export import export
from recipes.adversarial import (
    AdversarialRecipe,
    AdversarialRun,
    Collapse,
    generate,
    interpolate,
    train_adversarial,
)
from recipes.adversarial.pictures import diversity, grid
from recipes.adversarial.trainer import AdversarialTrainer
from recipes.data.pictures import load_pictures
from zoo.errors import CheckFailed, InputError

pytestmark = pytest.mark.filterwarnings("ignore::recipes.adversarial.Collapse")

SMALL = {"generator_arguments": {"width": 8, "latent": 6}, "discriminator_arguments": {"width": 8}}


def picture(number: int, random: np.random.Generator) -> Image.Image:
    """Draw a bright square somewhere, in one of the modes and sizes that people have."""
    side = int(random.integers(20, 40))
    values = np.zeros((side, side + number % 5, 3), "uint8")
    top, left = random.integers(0, side // 2, 2)
    values[top : top + side // 2, left : left + side // 2] = random.integers(100, 256, 3)
    image = Image.fromarray(values)
    return image.convert(("RGB", "L", "RGBA")[number % 3])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of any kind, some of them in a folder below, and a file that is none."""
    place = tmp_path_factory.mktemp("squares")
    (place / "deeper").mkdir()
    random = np.random.default_rng(0)
    for number in range(80):
        parent = place / "deeper" if number % 4 else place
        picture(number, random).save(parent / f"{number}.png")
    (place / "broken.png").write_bytes(b"no picture")
    (place / "notes.txt").write_text("none")
    return place


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two classes."""
    place, random = tmp_path_factory.mktemp("classes"), np.random.default_rng(1)
    for name in ("dark", "light"):
        (place / name).mkdir()
        for number in range(40):
            image = picture(number, random).convert("L")
            Image.fromarray(np.asarray(image) // (4 if name == "dark" else 1)).save(
                place / name / f"{number}.png"
            )
    return place


def recipe(data: Path, **fields: Any) -> AdversarialRecipe:
    usual: dict[str, Any] = {
        "generator": "dcgan", "discriminator": "dcgan_discriminator", "epochs": 2,
        "batch_size": 16, "shape": [16, 16, 3], "score_examples": 24, "judge": "resnet20-cifar10",
    }  # fmt: skip
    return AdversarialRecipe(data=str(data), **usual | SMALL | fields)


@pytest.fixture(scope="session")
def squares(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AdversarialRun:
    return train_adversarial(recipe(folder), tmp_path_factory.mktemp("runs") / "squares")


@pytest.fixture(scope="session")
def conditional(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> AdversarialRun:
    chosen = recipe(
        classes, generator="cdcgan", discriminator="cdcgan_discriminator", conditional=True,
        shape=[16, 16, 1], augment=["translation", "cutout", "color"],
    )  # fmt: skip
    return train_adversarial(chosen, tmp_path_factory.mktemp("runs") / "conditional")


def test_a_folder_of_any_pictures_is_learned_from(folder: Path) -> None:
    data = load_pictures(folder, (16, 16, 3))
    assert data.sizes == {"train": 72, "validation": 0, "test": 8}
    assert len(data.skipped) == 1
    assert "broken.png" in data.skipped[0]
    again = load_pictures(folder, (16, 16, 3))
    np.testing.assert_array_equal(again.test.inputs, data.test.inputs)


def test_a_run_holds_all_that_a_later_step_needs(squares: AdversarialRun) -> None:
    files = {path.name for path in squares.path.iterdir()}
    assert files >= {
        "config.json", "state.npz", "history.csv", "learning_curve.png", "samples.npz",
        "samples.gif", "samples", "metrics.json", "discriminator.keras", "model.keras",
        "card.json", "tensorboard",
    }  # fmt: skip
    assert [path.name for path in sorted((squares.path / "samples").iterdir())] == [
        "0001.png", "0002.png",
    ]  # fmt: skip
    with Image.open(squares.path / "samples.gif") as film:
        assert film.n_frames == 2
    history = pd.read_csv(squares.path / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert np.isfinite(history.to_numpy()).all()


def test_the_card_names_scores_their_floor_and_their_judge(squares: AdversarialRun) -> None:
    card = zoo.card(str(squares.path))
    assert (card.task, card.architecture) == ("generation", "dcgan")
    assert card.recipe["judge"] == "resnet20-cifar10"
    values = {metric.name: metric.value for metric in card.metrics}
    assert values["feature_distance"] > 0
    assert values["feature_distance_floor"] > 0
    assert {"kernel_distance", "precision", "recall"} <= set(values)
    assert "least_class_share" not in values  # the judge knows other classes
    [signature] = {metric.signature for metric in card.metrics}
    count = card.dataset.examples["test"]
    assert card.metrics[0].examples == count  # no more than there are real ones
    assert f"resnet20-cifar10, {count} made against {count} real, split test, seed " in signature
    assert signature.endswith("resize antialiased bilinear to 32×32")


def test_what_is_made_depends_on_the_seed_alone(squares: AdversarialRun) -> None:
    model = squares.load()
    one, again, other = (generate(model, 5, seed) for seed in (7, 7, 8))
    assert one.shape == (5, 16, 16, 3)
    assert one.dtype == "uint8"
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    np.testing.assert_array_equal(generate(model, 3, 7), one[:3])


def test_a_way_between_codes_begins_and_ends_at_them(squares: AdversarialRun) -> None:
    model = squares.load()
    ways = interpolate(model, [3, 4, 5], steps=4)
    assert ways.shape == (2, 4, 16, 16, 3)
    for way, seeds in zip(ways, ((3, 4), (4, 5)), strict=True):
        for place, seed in zip((0, -1), seeds, strict=True):
            distance = np.abs(way[place].astype(int) - generate(model, 1, seed)[0])
            assert distance.max() <= 1


def test_a_class_is_asked_for_by_its_number(conditional: AdversarialRun) -> None:
    model = conditional.load()
    assert conditional.card.labels == ["dark", "light"]
    both = generate(model, 4, 1)
    np.testing.assert_array_equal(both[::2], generate(model, 4, 1, label=0)[::2])
    np.testing.assert_array_equal(both[1::2], generate(model, 4, 1, label=1)[1::2])
    assert (generate(model, 4, 1, label=0) != generate(model, 4, 1, label=1)).any()
    with pytest.raises(InputError, match="no class 2 of 0 to 1"):
        generate(model, 1, label=2)


@pytest.mark.parametrize("format", ["saved_model", "litert"])
@pytest.mark.parametrize("name", ["squares", "conditional"])
def test_a_generator_leaves_python(
    name: str, format: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = request.getfixturevalue(name)
    artifact = export(run.path, tmp_path / "out", format)
    inputs = ["code", "label"] if name == "conditional" else ["code"]
    assert sorted(tensor.name for tensor in artifact.manifest.inputs) == inputs
    assert [tensor.name for tensor in artifact.manifest.outputs] == ["image"]
    assert artifact.parity.agreement == pytest.approx(1.0, abs=1e-4)
    assert artifact.parity.examples == 1_000
    further = {"generate", "generate_from_seed"} if format == "saved_model" else set()
    assert set(artifact.manifest.signatures) == further


def test_pictures_of_a_seed_are_drawn_in_the_graph(
    conditional: AdversarialRun, tmp_path: Path
) -> None:
    import tensorflow as tf

    export(conditional.path, tmp_path / "out", "saved_model")
    function = tf.saved_model.load(str(tmp_path / "out")).signatures["generate_from_seed"]

    def made(seed: int, n: int, label: int) -> np.ndarray:
        given = {"seed": seed, "n": n, "label": label}
        return function(**{k: tf.constant(v) for k, v in given.items()})["image"].numpy()

    np.testing.assert_array_equal(made(3, 4, -1), made(3, 4, -1))
    np.testing.assert_allclose(made(3, 4, -1)[1], made(3, 4, 1)[1], atol=1e-6)
    assert np.abs(made(3, 4, 0) - made(4, 4, 0)).max() > 0
    assert np.abs(made(3, 4, 0) - made(3, 4, 1)).max() > 0


INTERRUPTED = """
import os, signal, sys
import msgspec
from recipes.adversarial import AdversarialRecipe, train_adversarial
recipe = msgspec.json.decode(sys.argv[1], type=AdversarialRecipe)
train_adversarial(
    recipe, sys.argv[2], progress=lambda state, _: os.kill(os.getpid(), signal.SIGKILL)
)
"""


def test_a_run_that_was_killed_goes_on_as_if_nothing_had_happened(
    folder: Path, squares: AdversarialRun, tmp_path: Path
) -> None:
    words = msgspec.json.encode(recipe(folder)).decode()
    place = str(tmp_path / "killed")
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, words, place], capture_output=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    resumed = train_adversarial(recipe(folder), place, resume=True)
    for one, other in zip(resumed.load().get_weights(), squares.load().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert resumed.metrics == squares.metrics


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": "wasserstein", "gradient_penalty": 10.0, "critic_steps": 3, "r1": 0.5,
         "discriminator": "dcgan_critic"},
        {"loss": "hinge", "discriminator": "dcgan_spectral", "discriminator_learning_rate": 4e-4},
        {"loss": "least_squares", "label_smoothing": 0.1, "ema": 0.0},
        {"loss": "minimax", "generator": "gan", "discriminator": "gan_discriminator",
         "generator_arguments": {"hidden": [8]}, "discriminator_arguments": {"hidden": [8]}},
    ],
)  # fmt: skip
def test_every_way_of_learning_changes_both_networks(fields: dict[str, Any], folder: Path) -> None:
    chosen = recipe(folder, **fields)
    data = load_pictures(folder, (16, 16, 3))
    generator = zoo.build(chosen.generator, output_shape=(16, 16, 3), **chosen.generator_arguments)
    critic = zoo.build(
        chosen.discriminator, input_shape=(16, 16, 3), **chosen.discriminator_arguments
    )
    before = [generator.get_weights(), critic.get_weights()]
    trainer = AdversarialTrainer(generator, critic, chosen, data.train.inputs, data.train.targets)
    places = np.random.default_rng(0).integers(len(data.train), size=(3, chosen.critic_steps, 16))
    figures = trainer.learn(places)
    assert np.isfinite(list(figures.values())).all()
    for network, weights in zip((generator, critic), before, strict=True):
        for old, new in zip(weights, network.get_weights(), strict=True):
            assert old.size <= 1 or (old != new).any()
    kept = trainer.averaged().get_weights()
    same = all(np.array_equal(a, b) for a, b in zip(kept, generator.get_weights(), strict=True))
    assert same == (chosen.ema == 0)


def test_clipped_weights_stay_in_their_bounds(folder: Path) -> None:
    chosen = recipe(folder, loss="wasserstein", clip_weights=0.01)
    data = load_pictures(folder, (16, 16, 3))
    critic = zoo.build("dcgan_discriminator", input_shape=(16, 16, 3), width=8)
    generator = zoo.build("dcgan", output_shape=(16, 16, 3), width=8, latent=6)
    trainer = AdversarialTrainer(generator, critic, chosen, data.train.inputs, data.train.targets)
    trainer.learn(np.zeros((2, 1, 16), "int32"))
    bound = max(np.abs(w).max() for w in map(np.asarray, critic.trainable_weights))
    assert bound == pytest.approx(0.01)


def test_a_penalty_brings_the_slope_of_a_critic_near_1() -> None:
    """Of a critic that is free otherwise: its loss does not change with its slope."""
    inputs = keras.Input((4, 4, 1), name="image")
    logits = keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(inputs))
    critic = keras.Model(inputs, keras.layers.Reshape(())(logits))
    generator = zoo.build("gan", output_shape=(4, 4, 1), latent=2, hidden=[4])
    chosen = AdversarialRecipe(
        generator="gan", discriminator="gan_discriminator", data="mnist", epochs=1,
        loss="wasserstein", gradient_penalty=1_000.0, learning_rate=1e-9,
        discriminator_learning_rate=0.02, batch_size=16,
    )  # fmt: skip
    pictures = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 1), "uint8")
    trainer = AdversarialTrainer(generator, critic, chosen, pictures, np.zeros(64))
    places = np.random.default_rng(0).integers(64, size=(400, 1, 16))
    trainer.learn(places)
    # Of pictures in -1…1, as the paper has them: half of the slope in 0…1.
    assert np.linalg.norm(critic.get_weights()[0]) / 2 == pytest.approx(1.0, abs=0.1)


def test_a_training_that_turns_nan_keeps_its_last_good_epoch(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = AdversarialTrainer.learn

    def failing(self: AdversarialTrainer, places: np.ndarray) -> dict[str, float]:
        figures = learn(self, places)
        late = int(self.update.numpy()) > 5  # an epoch has four updates
        return figures | ({"critic_loss": float("nan")} if late else {})

    monkeypatch.setattr(AdversarialTrainer, "learn", failing)
    with pytest.raises(
        CheckFailed, match=r"critic loss became .* in epoch 2, and the run ends with epoch 1"
    ):
        train_adversarial(recipe(folder), tmp_path / "run")
    run = AdversarialRun(tmp_path / "run")
    assert run.read_state().epoch == run.card.training.epochs == 1
    assert generate(run.load(), 2).shape == (2, 16, 16, 3)
    with pytest.raises(CheckFailed, match="nothing is kept"):  # of a first epoch
        train_adversarial(recipe(folder, batch_size=8), tmp_path / "early")
    assert not (tmp_path / "early").exists()


def test_few_kinds_of_pictures_are_warned_of(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(Collapse, match="as diverse as what is real"):
        train_adversarial(recipe(folder, epochs=1, learning_rate=1e-9, ema=0.0), tmp_path / "run")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"generator": "dcgan_discriminator"}, "is for discrimination, and no generator"),
        ({"discriminator": "lenet5"}, "is for classification, and no discriminator"),
        ({"loss": "hing"}, "hinge"),
        ({"augment": ["flip"]}, "augmentation"),
        ({"loss": "hinge", "label_smoothing": 0.1}, "no targets"),
        ({"critic_steps": 0}, "critic_steps must be above 0"),
        ({"ema": 1.0}, "ema must be in"),
        ({"score_examples": 1}, "score_examples must be 2"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused(
    fields: dict[str, Any], words: str, folder: Path
) -> None:
    with pytest.raises(InputError, match=words):
        recipe(folder, **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"batch_size": 100}, "72 pictures to learn from, fewer than an update takes"),
        ({"conditional": True}, "has no classes"),
        ({"generator_arguments": {"output_shape": [32, 32, 3]}}, "makes pictures of"),
        ({"shape": [16, 8, 3]}, "square"),
        ({"generator_arguments": {"depth": 3}}, "depth"),
        ({"shape": [27, 27, 3]}, "cannot be halved"),
        ({"judge": "lenet6-mnist"}, "lenet5-mnist"),
        ({"gradient_penalty": 1.0}, "normalizes by batch"),
        ({"generator_arguments": {"latent": 0}}, "one number at least"),
        ({"judge": "gpt-shakespeare"}, "cannot judge"),
        ({"generator": "cdcgan", "generator_arguments": {"classes": 2}}, "is told the classes"),
        ({"data_options": {"targett": "x"}}, "target"),
        ({"data_options": {"target": "x"}}, "takes no target"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    fields: dict[str, Any], words: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        train_adversarial(recipe(folder, **fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_other_pictures(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "pictures"
    shutil.copytree(folder, copy)
    words = msgspec.json.encode(recipe(copy)).decode()
    place = str(tmp_path / "killed")
    command = [sys.executable, "-c", INTERRUPTED, words, place]
    assert subprocess.run(command, capture_output=True, check=False).returncode < 0
    next(copy.glob("*.png")).unlink()
    with pytest.raises(InputError, match="has changed"):
        train_adversarial(recipe(copy), place, resume=True)


def test_a_stray_file_does_not_make_classes_loose(classes: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "classes"
    shutil.copytree(classes, copy)
    for name in (".hidden.png", "LICENSE"):
        (copy / name).write_text("no picture")
    assert load_pictures(copy).labels == ("dark", "light")
    (copy / "dark").rename(copy / "train")
    (copy / "light").rename(copy / "test")
    with pytest.raises(InputError, match="have no classes"):
        load_pictures(copy)


def test_a_scaled_loss_teaches_as_the_loss_itself(folder: Path) -> None:
    data = load_pictures(folder, (16, 16, 3))
    moved = []
    for precision in ("float32", "mixed_float16"):
        chosen = recipe(folder, precision=precision)
        keras.utils.set_random_seed(0)
        generator = zoo.build("dcgan", output_shape=(16, 16, 3), width=8, latent=6)
        critic = zoo.build("dcgan_discriminator", input_shape=(16, 16, 3), width=8)
        before = critic.get_weights()[0]
        inputs, targets = data.train.inputs, data.train.targets
        trainer = AdversarialTrainer(generator, critic, chosen, inputs, targets)
        figures = trainer.learn(np.arange(64).reshape(4, 1, 16))
        moved.append((critic.get_weights()[0] - before, figures["critic_gradient"]))
    np.testing.assert_allclose(moved[0][0], moved[1][0], atol=1e-4)
    assert moved[0][1] == pytest.approx(moved[1][1], rel=0.02)


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in "ab":  # the same one twice
        Image.new("L", (9, 9), 200).save(tmp_path / "pictures" / f"{name}.png")
    with pytest.raises(InputError, match="holds 1 different pictures"):
        load_pictures(tmp_path / "pictures")
    with pytest.raises(InputError, match="no pictures"):
        load_pictures("iris")


def test_a_grid_has_a_place_for_every_picture() -> None:
    pictures = np.arange(5, dtype="uint8")[:, None, None, None] * np.ones((1, 4, 4, 1), "uint8")
    sheet = np.asarray(grid(pictures))
    assert sheet.shape == (10, 16)
    assert [sheet[0, 0], sheet[0, 6], sheet[0, 12], sheet[6, 0], sheet[6, 6]] == [0, 1, 2, 3, 4]
    assert sheet[9, 15] == 255


def test_a_few_pictures_again_and_again_have_no_diversity() -> None:
    random = np.random.default_rng(0)
    for kinds in (1, 5, 10):
        few = random.integers(0, 256, (kinds, 8, 8, 1), "uint8")
        assert diversity(np.tile(few, (9, 1, 1, 1))) == pytest.approx(0, abs=1e-3)
    assert diversity(random.integers(0, 256, (50, 8, 8, 1), "uint8")) > 0.3
    two = np.zeros((2, 2, 2, 1), "uint8")
    two[1, 0, 0] = 255
    assert diversity(two) == pytest.approx(0.5)  # of four pixels, one is another


def test_pictures_that_are_all_alike_are_refused(tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    for side in range(9, 60):
        Image.new("L", (side, side), 200).save(tmp_path / "grey" / f"{side}.png")
    with pytest.raises(InputError, match="all alike"):
        train_adversarial(recipe(tmp_path / "grey"), tmp_path / "run")


def test_the_kept_weights_are_a_moving_average(folder: Path) -> None:
    chosen = recipe(folder, ema=0.5)
    data = load_pictures(folder, (16, 16, 3))
    generator = zoo.build("dcgan", output_shape=(16, 16, 3), width=8, latent=6)
    critic = zoo.build("dcgan_discriminator", input_shape=(16, 16, 3), width=8)
    trainer = AdversarialTrainer(generator, critic, chosen, data.train.inputs, data.train.targets)
    mean = generator.get_weights()[0]
    for update, momentum in enumerate((2 / 11, 3 / 12, 4 / 13)):  # it begins with few
        trainer.learn(np.full((1, 1, 16), update))
        mean = momentum * mean + (1 - momentum) * generator.get_weights()[0]
    np.testing.assert_allclose(trainer.averaged().get_weights()[0], mean, atol=1e-6)


@pytest.mark.parametrize("r1", [0.0, 3.0])
def test_r1_is_half_the_squared_slope_at_real_pictures(r1: float) -> None:
    """Of a linear critic, black pictures and a generator of grey ones, as one sees by hand."""
    inputs = keras.Input((2, 2, 1), name="image")
    logits = keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(inputs))
    critic = keras.Model(inputs, keras.layers.Reshape(())(logits))
    kernel = np.array([[0.5], [-1.0], [0.0], [2.0]], "float32")
    critic.set_weights([kernel])
    generator = zoo.build("gan", output_shape=(2, 2, 1), latent=2, hidden=[4])
    generator.set_weights([np.zeros_like(w) for w in generator.get_weights()])
    chosen = AdversarialRecipe(
        generator="gan", discriminator="gan_discriminator", data="mnist", epochs=1,
        loss="wasserstein", r1=r1, batch_size=16,
    )  # fmt: skip
    pictures = np.zeros((16, 2, 2, 1), "uint8")
    trainer = AdversarialTrainer(generator, critic, chosen, pictures, np.zeros(16))
    figures = trainer.learn(np.zeros((1, 1, 16), "int32"))
    # The penalty is r1 / 2 · |kernel / 2|²: of pictures in -1…1, as the paper has them.
    assert figures["critic_gradient"] == pytest.approx(np.linalg.norm(0.5 + r1 * kernel / 4))


@pytest.mark.parametrize("discriminator", ["dcgan_critic", "dcgan_discriminator"])
def test_equal_updates_of_an_equal_state_are_equal(discriminator: str, folder: Path) -> None:
    chosen = recipe(
        folder, loss="wasserstein", critic_steps=5, batch_size=8, discriminator=discriminator
    )
    data = load_pictures(folder, (16, 16, 3))
    generator = zoo.build("dcgan", output_shape=(16, 16, 3), width=4, latent=6)
    critic = zoo.build(discriminator, input_shape=(16, 16, 3), width=4)
    trainer = AdversarialTrainer(generator, critic, chosen, data.train.inputs, data.train.targets)
    state, places = trainer.state(), np.arange(200).reshape(5, 5, 8) % 72
    found = []
    for _ in range(6):
        trainer.restore(state)
        trainer.learn(places)
        found.append(trainer.state())
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in other)


def test_the_recipe_of_a_run_is_told_as_json(squares: AdversarialRun) -> None:
    config = json.loads((squares.path / "config.json").read_text())
    assert config["task"] == "generation"
    assert config["recipe"]["generator"] == "dcgan"
    assert config["generator_arguments"] == {"output_shape": [16, 16, 3], "width": 8, "latent": 6}
