"""Models that round as int8 does: their layer, their kernels, and what they answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from architectures import DEEP, build, raw
from keras import layers

import zoo
from zoo import surgery
from zoo.errors import InputError
from zoo.folding import bounded, folded
from zoo.layers import ROUNDED, FakeQuantize, RoundedKernel, rounded
from zoo.quantization import calibrate, kernels, quantization_aware, rounding, settled


def adapted(*values: float) -> FakeQuantize:
    layer = FakeQuantize()
    layer.adapt(np.array(values, "float32"))
    return layer


@pytest.mark.parametrize("values", [(-1.0, 3.0), (0.5, 2.0), (-2.0, -0.5), (-1e-3, 7e3)])
def test_at_most_256_values_one_of_which_is_0(values: tuple[float, float]) -> None:
    layer = adapted(*values)
    bound = 2 * max(map(abs, values))
    x = np.linspace(-bound, bound, 10_001).astype("float32")
    found = np.unique(np.asarray(layer(x)))
    assert len(found) <= 256
    assert 0.0 in found
    assert np.ptp(np.diff(found)) < 1e-5 * np.ptp(found)
    inside = (x > found[0]) & (x < found[-1])
    step = np.diff(found).max()
    assert np.abs(np.asarray(layer(x)) - x)[inside].max() <= step / 2 * 1.001


def test_pixels_from_minus_1_to_1_do_not_lie_in_the_middle_of_two_steps() -> None:
    pixels = np.arange(256) / 127.5 - 1
    layer = adapted(*pixels)
    assert float(layer.least) == -1.0
    step = (float(layer.greatest) - float(layer.least)) / 255
    middles = np.abs(np.abs(pixels) / step % 1 - 0.5)
    assert middles.min() > 1e-3
    expected = np.round(pixels / step) * step
    np.testing.assert_allclose(layer(pixels.astype("float32")), expected, atol=1e-6)


def test_what_was_only_0_gives_no_nan() -> None:
    assert np.isfinite(np.asarray(adapted(0.0, 0.0)(np.ones(3, "float32")))).all()


def test_gradients_pass_inside_the_range_alone() -> None:
    layer = adapted(-1.0, 1.0)
    x = tf.Variable([-5.0, -0.5, 0.25, 5.0])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(x))
    assert tape.gradient(total, x).numpy().tolist() == [0.0, 1.0, 1.0, 0.0]


def test_the_range_follows_in_training_alone() -> None:
    layer = FakeQuantize(momentum=0.5)
    layer.adapt(np.array([0.0, 1.0]))
    batch = np.array([-2.0, 3.0], "float32")
    layer(batch)
    assert float(layer.greatest) == 1.0
    layer(batch, training=True)
    assert (float(layer.least), float(layer.greatest)) == (-1.0, 2.0)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5, 4), (1,)), ((3, 3, 2, 4), (3,)), ((3, 3, 4, 2), (2,)), ((3, 3, 2, 2), (2, 3))],
)
def test_a_rounded_kernel_is_integers_times_a_scale_for_each_channel(
    shape: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    kernel = np.random.default_rng(0).normal(size=shape).astype("float32")
    found = np.asarray(rounded(kernel, axes))
    others = tuple(axis for axis in range(len(shape)) if axis not in axes)
    scale = np.abs(kernel).max(axis=others, keepdims=True) / 127
    np.testing.assert_allclose(found / scale, np.round(kernel / scale), atol=1e-4)
    np.testing.assert_allclose(np.asarray(rounded(found, axes)), found, rtol=1e-6)


def test_a_kernel_of_nothing_stays() -> None:
    assert not np.asarray(rounded(np.zeros((3, 2), "float32"), (1,))).any()


@pytest.mark.parametrize(
    ("name", "rounded_places"),
    [
        # What goes into each kernel, and what the last one gives.
        ("dqn", ["standardize", "stage1", "stage2", "values"]),
        (
            "dqn_dueling",
            ["standardize", "stage1", "value_stream", "advantage_stream", "value", "advantage"],
        ),
        ("dqn_nature", ["rescale", "stage1", "stage2", "stage3", "stage4", "values"]),
        ("dqn_minatar", ["rescale", "stage1", "stage2", "values"]),
    ],
)
def test_a_network_rounds_what_goes_into_kernels_and_what_comes_out(
    name: str, rounded_places: list[str]
) -> None:
    model = zoo.build(name)
    result = quantization_aware(model)
    found = {layer.name for layer in result.layers if isinstance(layer, FakeQuantize)}
    assert found == {f"{place}_int8" for place in rounded_places}
    random = np.random.default_rng(0)
    shape, dtype = model.inputs[0].shape[1:], model.inputs[0].dtype
    greatest = {"uint8": 256, "bool": 2}.get(dtype, 1)
    inputs = (greatest * random.random((64, *shape))).astype(dtype)
    calibrate(result, inputs)
    values, exact = result.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    step = np.ptp(exact) / 255
    assert np.abs(values - exact).max() < 8 * step
    assert np.abs(values - exact).max() > 0  # it does round
    assert len(kernels(result)) == len(kernels(model)) > 0


def test_a_model_that_rounds_is_saved_and_loaded(tmp_path: Path) -> None:
    model = quantization_aware(zoo.build("dqn"))
    inputs = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    calibrate(model, inputs)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        again.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )


@pytest.mark.parametrize("make", [folded, bounded, quantization_aware, rounding])
def test_copies_standardize_as_their_source_does(
    make: Callable[[keras.Model], keras.Model],
) -> None:
    examples = np.random.default_rng(0).normal(3, 5, (64, 4)).astype("float32")
    inputs = keras.Input((4,))
    standardize = layers.Normalization(name="standardize")
    standardize.adapt(examples)
    x = layers.BatchNormalization()(layers.Dense(3)(standardize(inputs)))
    model = keras.Model(inputs, layers.Activation("tanh")(layers.Dense(2)(x)))
    result = make(model)
    assert result is not model
    found = result.get_layer("standardize")(examples)
    np.testing.assert_array_equal(found, standardize(examples))


def test_what_two_layers_read_is_rounded_once() -> None:
    inputs = keras.Input((3,))
    one, other = layers.Dense(2)(inputs), layers.Dense(2)(inputs)
    found = quantization_aware(keras.Model(inputs, layers.Add()([one, other])))
    assert sum(isinstance(layer, FakeQuantize) for layer in found.layers) == 3


def test_a_subclassed_model_is_refused() -> None:
    class Own(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(InputError, match="functional API"):
        quantization_aware(Own())


def normalized() -> keras.Model:
    """Return normalizations of every kind behind convolutions of every kind."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = layers.ReLU()(layers.BatchNormalization(scale=False)(x))
    x = layers.Conv2DTranspose(5, 2, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(center=False)(x))
    x = layers.Dense(2)(x)
    return keras.Model(inputs, layers.BatchNormalization(axis=3)(x))


class TestRounding:
    """Whole models that compute as a converter's int8 file does."""

    @pytest.mark.parametrize(
        "name", ["lenet5", "resnet20", "mobilenet_v2_half", "autoencoder_deep"]
    )
    def test_normalizations_are_folded_and_kernels_round(self, name: str) -> None:
        model = build(name)
        result = rounding(model)
        kinds = {type(layer) for layer in result.layers}
        assert not any(issubclass(kind, layers.BatchNormalization) for kind in kinds)
        with_kernels = [layer for layer in result.layers if isinstance(layer, RoundedKernel)]
        small_heads = 0 if name == "autoencoder_deep" else 1
        assert len(with_kernels) == len(kernels(model)) - small_heads
        inputs = raw(model, 32)
        calibrate(result, inputs)
        exact, found = (x.predict(inputs, verbose=0).ravel() for x in (model, result))
        # With random weights, rounding grows from layer to layer.
        assert np.corrcoef(exact, found)[0, 1] > (0.5 if name in DEEP else 0.9)
        assert np.abs(exact - found).max() > 0

    @pytest.mark.parametrize("make", [lambda: build("mobilenet_v2_half"), normalized])
    def test_folding_alone_changes_nothing(self, make: Callable[[], keras.Model]) -> None:
        model = make()
        random = np.random.default_rng(0)
        for layer in model.layers:
            normalizes = isinstance(layer, layers.BatchNormalization)
            for weight in layer.weights if normalizes else [getattr(layer, "bias", None)]:
                if weight is not None:
                    weight.assign(random.uniform(0.5, 2, weight.shape))
        inputs = raw(model, 4)
        result = folded(model, every=True)
        assert not any(isinstance(x, layers.BatchNormalization) for x in result.layers)
        np.testing.assert_allclose(
            result.predict(inputs, verbose=0), model.predict(inputs, verbose=0), atol=1e-4
        )

    @pytest.mark.parametrize("kind", sorted(ROUNDED, key=lambda kind: kind.__name__))
    def test_a_layer_computes_with_its_rounded_kernel_and_learns_the_other(self, kind: Any) -> None:
        plain = kind(3, name="plain") if kind is layers.Dense else (
            kind(3, depth_multiplier=2) if kind is layers.DepthwiseConv2D
            else kind(4, 3, strides=2, padding="same", activation="relu")
        )  # fmt: skip
        shape = (2, 5) if kind is layers.Dense else (2, 6, 6, 5)
        x = tf.constant(np.random.default_rng(1).normal(size=shape).astype("float32"))
        plain(x)
        layer = ROUNDED[kind].from_config(plain.get_config())
        layer(x)
        layer.set_weights(plain.get_weights())
        expected = kind.from_config(plain.get_config())
        expected(x)
        expected.set_weights(plain.get_weights())
        expected.kernel.assign(rounded(plain.kernel, layer.axes))
        np.testing.assert_allclose(layer(x), expected(x), atol=1e-5)
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(x) ** 2)
        with tf.GradientTape() as reference:
            other = tf.reduce_sum(expected(x) ** 2)
        np.testing.assert_allclose(
            tape.gradient(total, layer.kernel.value),
            reference.gradient(other, expected.kernel.value),
            rtol=1e-3, atol=1e-3,
        )  # fmt: skip

    def test_branches_and_other_activations_are_rounded_where_int8_rounds(self) -> None:
        inputs = keras.Input((8, 8, 3), name="image")
        x = layers.Conv2D(4, 3, padding="same", activation="gelu", name="one")(inputs)
        y = layers.Conv2D(4, 1, name="two")(x)
        y = layers.BatchNormalization(name="norm")(y)
        z = layers.Concatenate(name="both")([layers.Add(name="sum")([x, y]), x])
        z = layers.GlobalAveragePooling2D(name="mean")(layers.MaxPooling2D(name="pool")(z))
        model = keras.Model(inputs, layers.Dense(2, activation="softmax", name="predictions")(z))
        names = [layer.name for layer in rounding(model).layers]
        assert [name for name in names if name.endswith("_int8")] == [
            "image_int8", "one_int8", "one_gelu_int8", "two_int8", "sum_int8", "both_int8",
            "mean_int8", "predictions_int8",
        ]  # fmt: skip
        assert names[-1] == "predictions_softmax"

    def test_kernels_are_settled_in_plain_layers(self) -> None:
        model = rounding(build("lenet5"))
        inputs = raw(model, 8)
        calibrate(model, inputs)
        result = settled(model)
        assert not any(isinstance(layer, RoundedKernel) for layer in result.layers)
        np.testing.assert_allclose(
            result.predict(inputs, verbose=0), model.predict(inputs, verbose=0), atol=1e-5
        )
        plain = build("lenet5")
        assert settled(plain) is plain

    def test_it_is_saved_and_loaded(self, tmp_path: Path) -> None:
        model = rounding(build("resnet20"))
        calibrate(model, raw(model, 8))
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        inputs = raw(model, 4)
        np.testing.assert_array_equal(
            again.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
        )

    def test_stages_keep_their_names(self) -> None:
        model = build("mobilenet_v2_half")
        result = rounding(model)
        assert list(zoo.features(result).output) == list(zoo.features(model).output)
        found, own = surgery.stages(result), surgery.stages(model)
        assert [[x.name for x in stage] for stage in found] == [
            [x.name for x in stage] for stage in own
        ]

    @pytest.mark.parametrize("name", ["lenet5", "resnet20", "autoencoder_deep"])
    def test_a_model_that_rounds_is_made_anew(self, name: str) -> None:
        first = rounding(build(name))
        inputs = raw(first, 8)
        calibrate(first, inputs)
        again = rounding(first)
        assert [layer.name for layer in again.layers] == [layer.name for layer in first.layers]
        assert np.abs(again.predict(inputs, verbose=0) - first.predict(inputs, verbose=0)).max() > 0
        calibrate(again, inputs)
        np.testing.assert_array_equal(
            again.predict(inputs, verbose=0), first.predict(inputs, verbose=0)
        )

    def test_a_small_head_is_not_rounded_and_may_be_exchanged(self) -> None:
        model = rounding(build("lenet5"))
        assert model.layers[-1].get_config() == build("lenet5").layers[-1].get_config()
        other = surgery.with_head(model, 3)
        assert other.output_shape == (None, 3)
        assert [layer.name for layer in rounding(other).layers] == [x.name for x in model.layers]

    def test_a_head_that_rounds_is_not_exchanged(self) -> None:
        with pytest.raises(InputError, match="fine-tune the model that it came from"):
            surgery.with_head(rounding(build("softmax")), 3)

    @pytest.mark.parametrize("make", [rounding, quantization_aware])
    @pytest.mark.parametrize("activation", [None, "relu", "gelu"])
    def test_a_layer_may_be_called_twice(
        self, make: Callable[[keras.Model], keras.Model], activation: str | None
    ) -> None:
        inputs, examples = keras.Input((4,)), np.random.default_rng(0).normal(size=(64, 4))
        one, two, head = (layers.Dense(4, activation=activation) for _ in range(3))
        apart = keras.Model(inputs, head(two(one(inputs))))
        two.set_weights(one.get_weights())
        answers = []
        for model in (keras.Model(inputs, head(one(one(inputs)))), apart):
            result = make(model)
            calibrate(result, examples)
            answers.append(result.predict(examples, verbose=0))
        np.testing.assert_array_equal(*answers)

    @pytest.mark.parametrize(
        "layer",
        [
            layers.SeparableConv2D(3, 3),
            layers.TimeDistributed(layers.Conv1D(3, 3)),
            layers.MultiHeadAttention(2, 4),
            keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(3, 3)]),
        ],
        ids=["separable", "wrapped", "attention", "model"],
    )
    def test_a_kernel_that_would_stay_is_refused(self, layer: Any) -> None:
        inputs = keras.Input((6, 6, 3))
        given = (inputs, inputs) if isinstance(layer, layers.MultiHeadAttention) else (inputs,)
        model = keras.Model(inputs, layers.Dense(2)(layer(*given)))
        with pytest.raises(InputError, match=rf"those of {layer.name} \({type(layer).__name__}\)"):
            rounding(model)

    def test_a_model_without_a_kernel_is_refused(self) -> None:
        inputs = keras.Input((3,))
        with pytest.raises(InputError, match="no layer with a kernel"):
            rounding(keras.Model(inputs, layers.ReLU()(inputs)))


def test_a_range_of_examples_cuts_off_what_few_of_them_reach() -> None:
    layer = FakeQuantize(of_examples=True)
    examples = np.zeros((4, 5, 2), "float32")
    examples[:, 0, 0] = (1.0, 2.0, 3.0, 10.0)
    examples[:, 1, 1] = (-1.0, -1.0, -1.0, -5.0)
    layer.adapt(examples)
    assert (float(layer.least), float(layer.greatest)) == (-2.0, 4.0)
    assert float(np.asarray(layer(examples)).max()) == pytest.approx(4.0, abs=0.03)
    again = FakeQuantize.from_config(layer.get_config())
    assert again.of_examples
    single = FakeQuantize(of_examples=True)  # one number has no range of its own
    single.adapt(np.array([[-1.0], [2.0], [4.0]], "float32"))
    assert (float(single.least), float(single.greatest)) == (-1.0, 4.0)


def test_a_model_that_rounds_keeps_the_whole_range_of_its_input() -> None:
    model = rounding(zoo.build("lenet5"))
    kinds = [layer.of_examples for layer in model.layers if isinstance(layer, FakeQuantize)]
    assert kinds[0] is False
    assert all(kinds[1:])


def test_what_two_kernels_read_unrounded_is_rounded_once() -> None:
    inputs = keras.Input((8, 8, 3), name="picture")
    outputs = [layers.Conv2D(4, 3, name=name)(inputs) for name in ("one", "other")]
    model = rounding(keras.Model(inputs, layers.Concatenate()(outputs)))
    assert [layer.name for layer in model.layers].count("picture_int8") == 1


def test_ranges_by_parts_are_nearly_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = np.random.default_rng(0).integers(0, 256, (40, 28, 28, 1), "uint8")
    ranges = []
    for most in (1 << 29, 1 << 20):
        monkeypatch.setattr("zoo.quantization._MOST_BYTES", most)
        keras.utils.set_random_seed(0)
        model = rounding(zoo.build("lenet5"))
        calibrate(model, inputs)
        found = [x for x in model.layers if isinstance(x, FakeQuantize)]
        ranges.append([(float(x.least), float(x.greatest)) for x in found])
    np.testing.assert_allclose(*ranges, rtol=0.02)
