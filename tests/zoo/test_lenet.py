"""LeNet-5 of 1998, layer by layer against its paper and against plain NumPy."""

from collections.abc import Sequence

import keras
import numpy as np
import pytest

import zoo
from zoo.vision.lenet import (
    C3_CONNECTIONS,
    DigitDistances,
    PartialConvolution,
    Subsampling,
    digit_codes,
    squash,
)

# Section II.B of the paper; S2 and S4 are our `stage1` and `stage2`.
PAPER = {"c1": 156, "stage1": 12, "c3": 1_516, "stage2": 32, "c5": 48_120, "f6": 10_164}


def convolved(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, connections: Sequence[Sequence[int]]
) -> np.ndarray:
    """Convolve over the connected maps alone; a kernel for each connection, in their order."""
    side = kernel.shape[0]
    batch, height, width, _ = x.shape
    result = np.zeros((batch, height - side + 1, width - side + 1, len(connections)))
    kernels = iter(np.moveaxis(kernel, -1, 0))
    for to, seen in enumerate(connections):
        result[..., to] = bias[to]
        for source in seen:
            weights = next(kernels)
            for row in range(result.shape[1]):
                for column in range(result.shape[2]):
                    window = x[:, row : row + side, column : column + side, source]
                    result[:, row, column, to] += (window * weights).sum(axis=(1, 2))
    return result


def filled(layer: keras.Layer, x: np.ndarray) -> list[np.ndarray]:
    """Build a layer for `x`, fill its weights with random numbers and return them."""
    layer.build(x.shape)
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=weight.shape) for weight in layer.weights])
    return layer.get_weights()


@pytest.mark.parametrize(("name", "parameters"), PAPER.items())
def test_a_layer_has_the_paper_s_number_of_parameters(name: str, parameters: int) -> None:
    assert zoo.build("lenet5_1998").get_layer(name).count_params() == parameters


def test_no_other_layer_has_parameters() -> None:
    layers = {layer.name for layer in zoo.build("lenet5_1998").layers if layer.count_params()}
    assert layers == set(PAPER)


def test_c3_has_the_paper_s_60_connections() -> None:
    assert [len(seen) for seen in C3_CONNECTIONS] == [3] * 6 + [4] * 9 + [6]
    assert len(set(C3_CONNECTIONS)) == 16
    # Each of S2's maps is seen by ten of C3's.
    assert [sum(i in seen for seen in C3_CONNECTIONS) for i in range(6)] == [10] * 6


@pytest.mark.parametrize(
    ("connections", "channels", "side"),
    [
        (C3_CONNECTIONS, 6, 5),
        (((0,), (1,), (0, 1)), 2, 1),
        (((2, 0), (1,)), 3, 2),
        (((0,), (1,)), 3, 3),
    ],
    ids=["c3", "points", "unordered", "last map unseen"],
)
def test_a_partial_convolution_is_one_over_the_connected_maps_only(
    connections: tuple[tuple[int, ...], ...], channels: int, side: int
) -> None:
    x = np.random.default_rng(0).normal(size=(2, 8, 7, channels)).astype("float32")
    layer = PartialConvolution(connections, side)
    kernel, bias = filled(layer, x)
    assert kernel.shape == (side, side, sum(map(len, connections)))
    expected = convolved(x, kernel, bias, connections)
    assert np.asarray(layer(x)) == pytest.approx(expected, abs=1e-4)
    assert layer.compute_output_shape(x.shape) == expected.shape


def test_a_partial_convolution_applies_its_activation() -> None:
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 2)).astype("float32")
    plain = PartialConvolution(((0,), (0, 1)), 3)
    squashed = PartialConvolution(((0,), (0, 1)), 3, activation=squash)
    weights = filled(plain, x)
    squashed.build(x.shape)
    squashed.set_weights(weights)
    expected = 1.7159 * np.tanh(np.asarray(plain(x)) * 2 / 3)
    assert np.asarray(squashed(x)) == pytest.approx(expected, abs=1e-5)


def test_a_partial_convolution_comes_back_from_its_config() -> None:
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 2)).astype("float32")
    layer = PartialConvolution(((0,), (0, 1)), 3, activation=squash)
    weights = filled(layer, x)
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    twin.set_weights(weights)
    assert np.array_equal(twin(x), layer(x))


@pytest.mark.parametrize(("height", "width"), [(8, 6), (5, 7)])
def test_subsampling_averages_scales_shifts_and_squashes(height: int, width: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("float32")
    layer = Subsampling()
    coefficient, bias = filled(layer, x)
    rows, columns = height // 2, width // 2
    blocks = x[:, : 2 * rows, : 2 * columns].reshape(2, rows, 2, columns, 2, 3)
    expected = 1.7159 * np.tanh((blocks.mean(axis=(2, 4)) * coefficient + bias) * 2 / 3)
    assert np.asarray(layer(x)) == pytest.approx(expected, abs=1e-5)
    assert layer.compute_output_shape(x.shape) == expected.shape


def test_squashing_keeps_plus_and_minus_one() -> None:
    assert np.asarray(squash(np.array([-1.0, 0.0, 1.0]))) == pytest.approx([-1, 0, 1], abs=1e-4)


def test_the_digit_codes_are_ten_different_drawings_of_7_by_12_points() -> None:
    codes = digit_codes()
    assert codes.shape == (10, 84)
    assert set(np.unique(codes)) == {-1, 1}
    assert len(np.unique(codes, axis=0)) == 10


def test_the_first_digit_s_code_is_a_drawing_of_a_ring() -> None:
    drawing = digit_codes()[0].reshape(12, 7) > 0
    assert not drawing[[0, -1]].any()
    assert not drawing[4:8, 2:5].any()
    assert drawing[4:8][:, [0, 1, 5, 6]].all()


def test_the_outputs_are_squared_distances_to_the_digit_codes() -> None:
    x = np.random.default_rng(0).normal(size=(5, 84)).astype("float32")
    expected = [[sum((row - code) ** 2) for code in digit_codes()] for row in x]
    assert np.asarray(DigitDistances()(x)) == pytest.approx(np.array(expected), rel=1e-5)


def test_a_drawing_is_recognized_as_its_digit() -> None:
    distances = np.asarray(DigitDistances()(digit_codes().astype("float32")))
    assert distances.argmin(axis=1).tolist() == list(range(10))
    assert np.diag(distances).tolist() == [0] * 10


def test_the_nearest_code_is_the_most_probable_digit(pictures: np.ndarray) -> None:
    model = zoo.build("lenet5_1998")
    distances = np.asarray(keras.Model(model.input, model.get_layer("rbf").output)(pictures))
    shares = np.exp(distances.min(axis=1, keepdims=True) - distances)
    expected = shares / shares.sum(axis=1, keepdims=True)
    assert np.asarray(model(pictures)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 1), (8, 8, 1), (27, 31, 1)])
def test_the_picture_stands_amid_a_field_of_32_by_32(shape: tuple[int, ...]) -> None:
    model = zoo.build("lenet5_1998", input_shape=shape)
    field = keras.Model(model.input, model.get_layer("contrast").output)
    values = np.asarray(field(np.full((1, *shape), 255, "uint8")))[0, ..., 0]
    assert values.shape == (32, 32)
    rows, columns = np.nonzero(values > 0)
    assert len(rows) == shape[0] * shape[1]
    assert abs(rows.min() - (31 - rows.max())) <= 1
    assert abs(columns.min() - (31 - columns.max())) <= 1
    assert values.max() == pytest.approx(1.175)


def test_the_background_is_minus_a_tenth() -> None:
    model = zoo.build("lenet5_1998")
    field = keras.Model(model.input, model.get_layer("contrast").output)
    values = np.asarray(field(np.zeros((1, 28, 28, 1), "uint8")))
    assert values == pytest.approx(-0.1)


@pytest.mark.parametrize("shape", [(33, 28, 1), (28, 33, 1), (64, 64, 1)])
def test_a_picture_larger_than_the_field_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"fit into 32×32, not {shape[0]}×{shape[1]}"):
        zoo.build("lenet5_1998", input_shape=shape)


def test_today_s_lenet_takes_any_activation() -> None:
    assert zoo.build("lenet5", activation="tanh").count_params() == 61_706
    # PReLU has one slope for each of 6 and 16 maps and for each of 120 and 84 units.
    assert zoo.build("lenet5", activation="prelu").count_params() == 61_706 + 6 + 16 + 120 + 84
