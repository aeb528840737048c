"""What is particular to the landmark networks: groups, response normalization, further outputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.layers import IMAGENET, LocalResponseNormalization, raw_input


@pytest.mark.parametrize("settings", [{}, {"size": 3, "alpha": 0.1, "beta": 0.5, "k": 1.0}])
def test_local_response_normalization_is_tensorflow_s(settings: dict[str, float]) -> None:
    x = np.random.default_rng(0).normal(0, 30, (2, 5, 4, 12)).astype("float32")
    layer = LocalResponseNormalization(**settings)
    expected = tf.nn.local_response_normalization(
        x, depth_radius=layer.size // 2, bias=layer.k, alpha=layer.alpha, beta=layer.beta
    )
    assert np.asarray(layer(x)) == pytest.approx(expected.numpy(), rel=1e-5)


def test_local_response_normalization_looks_at_its_neighbours_only() -> None:
    x = np.zeros((1, 1, 1, 9), "float32")
    x[..., 4] = 100
    layer = LocalResponseNormalization(size=3, alpha=1.0)
    moved = np.abs(np.asarray(layer(x + 1)) - np.asarray(layer(np.ones_like(x)))).ravel() > 1e-6
    assert moved.tolist() == [False] * 3 + [True] * 3 + [False] * 3


def test_local_response_normalization_refuses_a_window_without_a_middle() -> None:
    with pytest.raises(ValueError, match="size must be odd, not 4"):
        LocalResponseNormalization(size=4)


def test_the_two_groups_of_alexnet_do_not_see_each_other() -> None:
    model = zoo.build("alexnet", input_shape=(64, 64, 3), classes=10, response_norm=False)
    first = keras.Model(model.get_layer("stage1").output, model.get_layer("conv2").output)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 7, 7, 96)).astype("float32")
    other = x.copy()
    other[..., :48] = rng.normal(size=(1, 7, 7, 48))
    before, after = np.asarray(first(x)), np.asarray(first(other))
    assert before.shape == (1, 7, 7, 256)
    assert before[..., 128:] == pytest.approx(after[..., 128:], abs=0)
    assert np.abs(before[..., :128] - after[..., :128]).max() > 0.1


def test_a_split_convolution_is_a_grouped_one() -> None:
    model = zoo.build("alexnet", input_shape=(64, 64, 3), classes=10)
    parts = [model.get_layer(f"conv4_group{number}") for number in (1, 2)]
    grouped = keras.layers.Conv2D(384, 3, padding="same", activation="relu", groups=2)
    grouped.build((None, 3, 3, 384))
    kernel, bias = zip(*[part.get_weights() for part in parts], strict=True)
    grouped.set_weights([np.concatenate(kernel, axis=-1), np.concatenate(bias)])
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 384)).astype("float32")
    inner = keras.Model(model.get_layer("conv3").output, model.get_layer("conv4").output)
    assert np.asarray(inner(x)) == pytest.approx(np.asarray(grouped(x)), abs=1e-4)


def test_googlenet_s_auxiliary_heads_are_outputs_that_train_and_can_be_left_out() -> None:
    keras.utils.set_random_seed(0)
    model = zoo.build("googlenet_bn_auxiliary", input_shape=(96, 96, 3), classes=4)
    images = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), "uint8")
    answers = model(images)
    assert set(answers) == {"predictions", "auxiliary1", "auxiliary2"}
    for answer in answers.values():
        assert answer.shape == (8, 4)
        assert np.asarray(answer).sum(axis=1) == pytest.approx(1, abs=1e-5)
    weights = {"predictions": 1.0, "auxiliary1": 0.3, "auxiliary2": 0.3}
    losses = dict.fromkeys(answers, "categorical_crossentropy")
    model.compile("sgd", losses, loss_weights=weights, jit_compile=False)
    targets = np.eye(4, dtype="float32")[np.arange(8) % 4]
    before = [w.copy() for w in model.get_layer("auxiliary1").get_weights()]
    model.fit(images, dict.fromkeys(answers, targets), verbose=0)
    after = model.get_layer("auxiliary1").get_weights()
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True))
    shipped = keras.Model(model.input, model.output["predictions"])
    plain = zoo.build("googlenet_bn", input_shape=(96, 96, 3), classes=4)
    assert shipped.count_params() == plain.count_params()


def test_a_stride_in_v1_5_sees_every_pixel_and_in_v1_every_fourth() -> None:
    for version, seen in (("v1", 1 / 4), ("v1.5", 1.0)):
        model = zoo.build("resnet50", version=version, input_shape=(64, 64, 3), classes=10)
        block = keras.Model(
            model.get_layer("stage1").output, model.get_layer("stage2_block1_2_conv").output
        )
        x = tf.Variable(np.random.default_rng(0).random((1, 16, 16, 256)), dtype="float32")
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(block(x))
        touched = np.abs(tape.gradient(total, x).numpy()).max(axis=(0, 3)) > 0
        assert touched.mean() == pytest.approx(seen, abs=0.05)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet50", {"version": "v3"}, "version must be one of v1, v1.5, v2, not 'v3'"),
        ("resnet50", {"stem": "tiny"}, "stem must be 'imagenet' or 'small', not 'tiny'"),
        ("wide_resnet_16_4", {"depth": 17}, "depth must be 6n \\+ 4"),
    ],
)
def test_builders_say_what_they_cannot_build(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.build(name, **arguments)


def test_raw_pictures_are_standardized_channel_by_channel() -> None:
    model = keras.Model(*raw_input((1, 1, 3), IMAGENET))
    expected = [(124 - 123.68) / 58.393, (0 - 116.779) / 57.12, (255 - 103.939) / 57.375]
    answer = model(np.array([[[[124, 0, 255]]]], "uint8"))
    assert np.asarray(answer).ravel() == pytest.approx(expected, abs=1e-5)
    grey = keras.Model(*raw_input((1, 2, 1), IMAGENET))
    low, high = np.asarray(grey(np.array([0, 255], "uint8").reshape(1, 1, 2, 1))).ravel()
    assert low == pytest.approx(np.mean(IMAGENET[0]), abs=1e-5)
    assert high == pytest.approx(np.mean(IMAGENET[1]), abs=1e-5)
