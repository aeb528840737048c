"""Linear models, perceptrons, autoencoders, and the standardization in front of tables."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import erf, expit
from tensorflow import GradientTape

import zoo
from zoo.dense.autoencoder import decoder, encoder
from zoo.layers import Standardize

SMALL = {"input_shape": (4,), "hidden": (6, 5), "classes": 3}

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": expit,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * (1 + erf(x / 2**0.5)) / 2,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "silu": lambda x: x * expit(x),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "prelu": lambda x: np.where(x > 0, x, 0.3 * x),
}


@pytest.fixture
def rows() -> np.ndarray:
    """Rows of a table with four columns of different units."""
    random = np.random.default_rng(0)
    return (random.normal(size=(50, 4)) * [1, 10, 0.1, 100] + [0, 5, 1, -200]).astype("float32")


def tensor(x: np.ndarray) -> np.ndarray:
    return np.asarray(x)


def stage(model: keras.Model, name: str, x: np.ndarray) -> np.ndarray:
    """Return a layer's output."""
    return np.asarray(keras.Model(model.input, model.get_layer(name).output)(x))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_perceptron_computes_with_its_activation(activation: str) -> None:
    model = zoo.build("mlp", **SMALL, activation=activation)
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    if activation == "prelu":
        for name in ("stage1", "stage2"):
            layer = model.get_layer(name)
            layer.set_weights([np.full(layer.alpha.shape, 0.3)])
    expected = x
    for number in (1, 2):
        kernel, bias = model.get_layer(f"dense{number}").get_weights()
        expected = ACTIVATIONS[activation](expected @ kernel + bias)
    assert stage(model, "stage2", x) == pytest.approx(expected, abs=1e-5)


def test_an_activation_of_its_own_slopes_learns_them() -> None:
    model = zoo.build("mlp", **SMALL, activation="prelu")
    plain = zoo.build("mlp", **SMALL)
    assert model.count_params() == plain.count_params() + 6 + 5
    assert len(model.trainable_weights) == len(plain.trainable_weights) + 2


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [("he_normal", 2 / 400), ("lecun_normal", 1 / 400), ("glorot_uniform", 2 / 700), ("zeros", 0)],
)
def test_kernels_are_initialized_as_asked(initializer: str, deviation: float) -> None:
    keras.utils.set_random_seed(0)
    model = zoo.build("mlp", input_shape=(400,), hidden=(300,), kernel_initializer=initializer)
    kernel = model.get_layer("dense1").get_weights()[0]
    assert kernel.std() == pytest.approx(deviation**0.5, rel=0.05)


def test_the_default_is_relu_and_he_initialization() -> None:
    config = zoo.build("mlp").get_layer("dense1").get_config()
    assert config["kernel_initializer"]["class_name"] == "HeNormal"
    assert zoo.build("mlp").get_layer("stage1").activation is keras.activations.relu


def test_dropout_is_active_in_training_only(rows: np.ndarray) -> None:
    model = zoo.build("mlp", **SMALL | {"hidden": (200, 200)}, dropout=0.5)
    assert np.array_equal(model(rows), model(rows))
    assert np.array_equal(model(rows), model(rows, training=False))
    assert not np.allclose(model(rows, training=True), model(rows, training=True))
    dropped = keras.Model(model.input, model.get_layer("dropout1").output)
    active = stage(model, "stage1", rows) > 0
    assert (tensor(dropped(rows, training=True))[active] == 0).mean() == pytest.approx(0.5, abs=0.1)


def test_without_dropout_training_and_inference_agree(rows: np.ndarray) -> None:
    model = zoo.build("mlp", **SMALL)
    assert np.array_equal(model(rows), model(rows, training=True))


def test_batch_normalization_stands_before_each_activation(rows: np.ndarray) -> None:
    model = zoo.build("mlp", **SMALL, batch_norm=True)
    names = [layer.name for layer in model.layers]
    assert names[2:] == [
        *("dense1", "batch_norm1", "stage1", "dense2", "batch_norm2", "stage2", "predictions")
    ]
    assert not model.get_layer("dense1").use_bias
    normal = keras.Model(model.input, model.get_layer("batch_norm1").output)
    outputs = tensor(normal(rows, training=True))
    assert outputs.mean(axis=0) == pytest.approx(0, abs=1e-3)
    assert outputs.std(axis=0) == pytest.approx(1, abs=1e-2)


def test_weight_decay_is_the_sum_of_all_squared_kernels() -> None:
    model = zoo.build("mlp", **SMALL, weight_decay=0.01)
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    assert len(kernels) == 3
    expected = 0.01 * sum((tensor(kernel.value) ** 2).sum() for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_without_weight_decay_there_is_no_penalty() -> None:
    assert zoo.build("mlp", **SMALL).losses == []


def test_a_perceptron_for_regression_ends_without_activation(rows: np.ndarray) -> None:
    model = zoo.build("mlp", **SMALL | {"classes": 1}, classifier_activation=None)
    kernel, bias = model.get_layer("predictions").get_weights()
    assert tensor(model(rows)) == pytest.approx(
        stage(model, "stage2", rows) @ kernel + bias, rel=1e-4, abs=1e-4
    )


def test_a_perceptron_without_hidden_layers_is_softmax_regression(pictures: np.ndarray) -> None:
    bare, regression = zoo.build("mlp", hidden=()), zoo.build("softmax")
    regression.set_weights(bare.get_weights())
    assert np.array_equal(bare(pictures), regression(pictures))


@pytest.mark.parametrize("shape", [(), (28, 28), (2, 2, 2, 2)])
def test_an_input_that_is_neither_picture_nor_row_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(zoo.InputError, match="input_shape must be"):
        zoo.build("mlp", input_shape=shape)


@pytest.mark.parametrize("hidden", [(), (50,), (60, 50)], ids=["shallow", "deep", "deeper"])
def test_decoder_after_encoder_is_the_autoencoder(
    hidden: tuple[int, ...], pictures: np.ndarray
) -> None:
    model = zoo.build("autoencoder", hidden=hidden, code=7)
    codes = encoder(model)(pictures)
    assert codes.shape == (16, 7)
    assert tensor(decoder(model)(codes)) == pytest.approx(tensor(model(pictures)), abs=1e-6)


def test_encoder_and_decoder_share_the_autoencoder_s_weights(pictures: np.ndarray) -> None:
    model = zoo.build("autoencoder_deep")
    first, second = encoder(model), decoder(model)
    halves = {id(weight) for half in (first, second) for weight in half.weights}
    assert halves == {id(weight) for weight in model.weights}
    before = tensor(model(pictures))
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    after = tensor(second(first(pictures)))
    assert after == pytest.approx(tensor(model(pictures)), abs=1e-6)
    assert np.abs(after - before).max() > 1e-3


def test_the_encoder_takes_the_autoencoder_s_inputs_without_a_warning(
    pictures: np.ndarray,
) -> None:
    model = encoder(zoo.build("autoencoder"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(pictures)


def test_an_autoencoder_mirrors_its_hidden_layers() -> None:
    model = zoo.build("autoencoder", hidden=(60, 50), code=7)
    widths = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert widths == [60, 50, 7, 50, 60, 784]


def test_logistic_regression_is_the_logistic_function_of_its_logit() -> None:
    model = zoo.build("logistic", input_shape=(4,))
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32") * 5
    kernel, bias = model.get_layer("logit").get_weights()
    outputs = tensor(model(x))
    assert outputs[:, 1] == pytest.approx(expit(x @ kernel + bias)[:, 0], abs=1e-6)
    assert outputs.sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_logistic_regression_is_finite_far_from_its_boundary(logit: float) -> None:
    model = zoo.build("logistic", input_shape=(1,))
    model.get_layer("logit").set_weights([np.ones((1, 1)), np.zeros(1)])
    outputs = tensor(model(np.array([[logit]], "float32")))
    assert outputs.tolist() == [[float(logit < 0), float(logit > 0)]]


def test_linear_regression_is_a_product_and_a_shift(rows: np.ndarray) -> None:
    model = zoo.build("linear", input_shape=(4,), outputs=2)
    kernel, bias = model.get_layer("predictions").get_weights()
    assert tensor(model(rows)) == pytest.approx(rows @ kernel + bias, rel=1e-4, abs=1e-4)


def test_linear_models_take_pictures(pictures: np.ndarray) -> None:
    for name in ("linear", "logistic", "softmax"):
        model = zoo.build(name, input_shape=(28, 28, 1))
        assert model(pictures).shape == (16, model.output_shape[-1])


def test_standardized_columns_have_mean_0_and_deviation_1(rows: np.ndarray) -> None:
    layer = Standardize()
    layer.adapt(rows)
    outputs = tensor(layer(rows))
    assert outputs.shape == rows.shape
    assert outputs.mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert outputs.std(axis=0) == pytest.approx(1, abs=1e-5)


def test_the_statistics_of_new_rows_are_those_of_the_adapted_ones(rows: np.ndarray) -> None:
    layer = Standardize()
    layer.adapt(rows)
    expected = (rows[:1] * 2 - rows.mean(axis=0)) / rows.std(axis=0)
    assert tensor(layer(rows[:1] * 2)) == pytest.approx(expected, rel=1e-4)


def test_unadapted_rows_pass_unchanged(rows: np.ndarray) -> None:
    assert np.array_equal(Standardize()(rows), rows)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [7, 1000])
@pytest.mark.parametrize("value", [0.0, 0.1, 3.0, -12345.678])
def test_a_constant_column_becomes_0(value: float, count: int, dtype: str) -> None:
    column = np.full((count, 1), value, dtype)
    layer = Standardize()
    layer.adapt(column)
    assert tensor(layer(column.astype("float32")[:2])).tolist() == [[0], [0]]
    # Another value than the one constant in training stays of its own order of magnitude.
    assert abs(float(layer(np.array([[value + 1]], "float32"))[0, 0])) <= 1.1


def test_many_rows_far_from_0_are_standardized_exactly() -> None:
    column = np.random.default_rng(0).normal(10_000, 1, size=(100_000, 2)).astype("float32")
    layer = Standardize()
    layer.adapt(column)
    outputs = tensor(layer(column))
    assert outputs.mean(axis=0) == pytest.approx(0, abs=0.01)
    assert outputs.std(axis=0) == pytest.approx(1, abs=0.01)


def test_statistics_are_weights_that_do_not_learn(rows: np.ndarray) -> None:
    model = zoo.build("linear", input_shape=(4,))
    layer = model.get_layer("standardize")
    layer.adapt(rows)
    assert [weight.trainable for weight in layer.weights] == [False, False]
    with GradientTape() as tape:
        loss = keras.ops.sum(model(rows))
    assert len(tape.gradient(loss, model.trainable_variables)) == 2


def test_statistics_are_copied_with_the_weights(rows: np.ndarray) -> None:
    source, target = (zoo.build("mlp", **SMALL) for _ in range(2))
    source.get_layer("standardize").adapt(rows)
    target.set_weights(source.get_weights())
    assert np.array_equal(target(rows), source(rows))


def test_statistics_survive_a_file(rows: np.ndarray, tmp_path: Path) -> None:
    model = zoo.build("mlp", **SMALL)
    model.get_layer("standardize").adapt(rows)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(loaded(rows), model(rows))
    layer = loaded.get_layer("standardize")
    assert tensor(layer.mean.value) == pytest.approx(rows.mean(axis=0), rel=1e-4, abs=1e-4)
