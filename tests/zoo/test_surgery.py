"""Copies with another head, input or precision; the source stays as it is."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest
from architectures import build, nearly_alike

import zoo
from zoo import surgery
from zoo.catalog import NAMES


def answer(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(x))


def inputs_of(model: keras.Model, count: int = 4) -> np.ndarray:
    """Return random raw inputs."""
    random = np.random.default_rng(0)
    shape = (count, *model.input_shape[1:])
    if len(shape) == 2:
        return random.normal(size=shape).astype("float32")
    return random.integers(0, 256, shape, dtype="uint8")


def normalized(**arguments: Any) -> keras.Model:
    """Return a perceptron with batch normalization whose statistics are not the initial ones."""
    keras.utils.set_random_seed(0)
    model = zoo.build("mlp", hidden=(6, 5), classes=3, batch_norm=True, **arguments)
    for name in ("batch_norm1", "batch_norm2"):
        layer = model.get_layer(name)
        layer.moving_mean.assign(np.full(layer.moving_mean.shape, 0.25))
        layer.moving_variance.assign(np.full(layer.moving_variance.shape, 2.0))
    return model


def wrapped() -> keras.Model:
    """Return a classifier around an inner model with batch normalization."""
    inside = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(3, 3, name="conv")(inside)
    x = keras.layers.BatchNormalization(name="batch_norm")(x)
    base = keras.Model(inside, keras.layers.GlobalAveragePooling2D()(x), name="base")
    image = keras.Input((28, 28, 1), dtype="uint8", name="image")
    x = base(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(4, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="wrapped")


def sequential() -> keras.Sequential:
    """Return a classifier of pictures as users write it."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax", name="predictions"),
        ]
    )


class Subclassed(keras.Model):
    """A model that is no graph of layers."""

    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.dense = keras.layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.dense(x)


@contextmanager
def unchanged(model: keras.Model, x: np.ndarray) -> Iterator[None]:
    """Check that weights, trainable flags and answers of a model are as they were."""
    weights = model.get_weights()
    flags = {layer.name: layer.trainable for layer in model.layers}
    layers, outputs = list(model.layers), answer(model, x)
    yield
    assert model.layers == layers
    assert {layer.name: layer.trainable for layer in model.layers} == flags
    assert all(map(np.array_equal, model.get_weights(), weights))
    assert np.array_equal(answer(model, x), outputs)


def trained(model: keras.Model) -> None:
    """Change every weight and flag of a model, as a training of it might."""
    model.set_weights([weight + 1 for weight in model.get_weights()])
    for layer in model.layers:
        layer.trainable = not layer.trainable


def enlarged(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize bilinearly, pixels being squares with the value in their centre."""
    result = pictures.astype("float64")
    for axis, size in ((1, height), (2, width)):
        length = result.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        result = result.take(low, axis) * (1 - share) + result.take(high, axis) * share
    return result


CHANGES: dict[str, Callable[[keras.Model], keras.Model]] = {
    "copy": surgery.copy,
    "with_head": lambda model: surgery.with_head(model, 5),
    "with_input_shape": lambda model: surgery.with_input_shape(model, (8, 9, 1)),
    "with_same_input_shape": lambda model: surgery.with_input_shape(model, (28, 28, 1)),
    "with_precision": lambda model: surgery.with_precision(model, "mixed_bfloat16"),
}

every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
# Those that have other kinds of layers than the ones before them: what is copied is layers.
KINDS = [
    "linear", "softmax", "mlp", "autoencoder", "autoencoder_deep", "lenet5_1998", "convnet",
    "alexnet", "googlenet_bn", "resnet20", "resnet20_b", "resnet18_v2", "mobilenet_v2_half", "vit",
]  # fmt: skip
every_architecture = pytest.mark.parametrize("name", KINDS)


@every_change
def test_a_copy_shares_nothing_with_its_source(
    change: Callable[[keras.Model], keras.Model], pictures: np.ndarray
) -> None:
    model = normalized()
    model.get_layer("dense1").trainable = False
    with unchanged(model, pictures):
        trained(change(model))


@every_change
def test_a_copy_keeps_the_trainable_flags(change: Callable[[keras.Model], keras.Model]) -> None:
    model = normalized()
    for name in ("dense1", "batch_norm2"):
        model.get_layer(name).trainable = False
    frozen = {layer.name for layer in change(model).layers if not layer.trainable}
    assert frozen == {"dense1", "batch_norm2"}


@every_change
def test_a_copy_takes_its_inputs_without_a_warning(
    change: Callable[[keras.Model], keras.Model],
) -> None:
    result = change(normalized())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result(inputs_of(result))


@every_architecture
def test_a_copy_answers_exactly_like_its_source(name: str) -> None:
    model = build(name)
    x = inputs_of(model)
    result = surgery.copy(model)
    assert result.name == model.name
    assert [layer.name for layer in result.layers] == [layer.name for layer in model.layers]
    assert np.array_equal(answer(result, x), answer(model, x))


def test_a_new_head_stands_on_the_old_features(pictures: np.ndarray) -> None:
    model = normalized()
    result = surgery.with_head(model, 7)
    assert result.name == model.name
    inner = [keras.Model(m.input, m.get_layer("stage2").output) for m in (model, result)]
    assert np.array_equal(answer(inner[0], pictures), answer(inner[1], pictures))
    outputs = answer(result, pictures)
    assert outputs.shape == (16, 7)
    assert outputs.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_a_new_head_of_the_same_width_is_new_all_the_same() -> None:
    model = normalized()
    old, new = (m.get_layer("predictions") for m in (model, surgery.with_head(model, 3)))
    assert not np.array_equal(old.get_weights()[0], new.get_weights()[0])


def test_a_head_for_regression_has_no_activation() -> None:
    result = surgery.with_head(normalized(), 1, None)
    assert result.get_layer("predictions").activation is keras.activations.linear
    assert result.output_shape == (None, 1)


def test_a_head_computes_in_float32_in_mixed_precision(pictures: np.ndarray) -> None:
    mixed = surgery.with_precision(normalized(), "mixed_bfloat16")
    assert answer(surgery.with_head(mixed, 3), pictures).dtype == "float32"


@pytest.mark.parametrize("name", ["logistic", "autoencoder", "lenet5_1998"])
def test_a_model_without_a_dense_head_is_given_none(name: str) -> None:
    with pytest.raises(zoo.InputError, match=f"{name!r} does not end in a Dense layer"):
        surgery.with_head(zoo.build(name), 3)


def test_a_dense_layer_of_another_name_is_no_head() -> None:
    features = zoo.build("mlp", include_top=False).input
    model = keras.Model(features, keras.layers.Dense(3, name="other")(keras.ops.mean(features, 1)))
    with pytest.raises(zoo.InputError, match="named 'predictions'"):
        surgery.with_head(model, 3)


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 9, 1), (1, 1, 1), (28, 14, 1)])
def test_pictures_of_another_size_are_resized_after_the_rescaling(shape: tuple[int, ...]) -> None:
    model = zoo.build("lenet5")
    result = surgery.with_input_shape(model, shape)
    x = inputs_of(result)
    assert x.shape[1:] == shape
    resized = answer(keras.Model(result.input, result.get_layer("resize").output), x)
    assert resized == pytest.approx(enlarged(x / 255, 28, 28), abs=1e-5)
    rest = keras.Model(model.get_layer("rescale").output, model.output)
    expected = answer(rest, enlarged(x / 255, 28, 28).astype("float32"))
    assert answer(result, x) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", [n for n in KINDS if NAMES[n].family == "vision"])
def test_every_architecture_of_pictures_takes_another_size(name: str) -> None:
    model = build(name)
    result = surgery.with_input_shape(model, (10, 12, model.input_shape[-1]))
    x = inputs_of(result)
    assert result.inputs[0].dtype == "uint8"
    assert answer(result, x).shape == (4, model.output_shape[-1])


def test_no_grey_level_is_rounded_away_in_resizing() -> None:
    result = surgery.with_input_shape(zoo.build("softmax"), (1, 2, 1))
    resize = keras.Model(result.input, result.get_layer("resize").output)
    levels = answer(resize, np.array([[[[0], [1]]]], "uint8")) * 255
    # 0, 1/28, 3/28 … 27/28, 1, where a rounded picture has two levels.
    assert len(np.unique(levels.round(5))) == 16


def test_no_grey_level_is_rounded_where_nothing_rescales() -> None:
    image = keras.Input((28, 28, 1), dtype="uint8", name="image")
    x = keras.layers.Dense(2, name="predictions")(keras.layers.Flatten()(image))
    result = surgery.with_input_shape(keras.Model(image, x), (1, 2, 1))
    resize = keras.Model(result.input, result.get_layer("resize").output)
    levels = answer(resize, np.array([[[[0], [1]]]], "uint8"))
    assert len(np.unique(levels.astype("float32").round(5))) == 16


def test_the_own_input_shape_needs_no_resizing(pictures: np.ndarray) -> None:
    model = zoo.build("lenet5")
    result = surgery.with_input_shape(model, [28, 28, 1])
    assert [layer.name for layer in result.layers] == [layer.name for layer in model.layers]
    assert np.array_equal(answer(result, pictures), answer(model, pictures))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("lenet5", (28, 28, 3)), ("lenet5", (784,)), ("linear", (4,)), ("linear", (8, 8, 1))],
)
def test_an_input_that_cannot_be_resized_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(zoo.InputError, match="cannot be given inputs of shape"):
        surgery.with_input_shape(zoo.build(name), shape)


@every_change
def test_a_subclassed_model_is_refused(change: Callable[[keras.Model], keras.Model]) -> None:
    model = Subclassed()
    model(np.zeros((1, 3), "float32"))
    with pytest.raises(zoo.InputError, match="'subclassed' is a subclassed model"):
        change(model)


@every_change
def test_a_sequential_model_is_changed_like_a_functional_one(
    change: Callable[[keras.Model], keras.Model],
) -> None:
    model = sequential()
    with unchanged(model, inputs_of(model)):
        result = change(model)
        trained(result)
    assert answer(result, inputs_of(result)).dtype == "float32"


@every_change
def test_a_model_within_a_model_is_changed_too(
    change: Callable[[keras.Model], keras.Model],
) -> None:
    model = wrapped()
    x = inputs_of(model)
    with unchanged(model, x):
        result = change(model)
        trained(result)
    assert answer(result, inputs_of(result)).dtype == "float32"


def settle(model: keras.Model, x: np.ndarray) -> None:
    """Give batch normalization the statistics of `x`: a fresh deep net is sure without them."""
    for norm in model.layers:
        if isinstance(norm, keras.layers.BatchNormalization):
            norm.momentum = 0.0
    model(x, training=True)


@every_architecture
def test_mixed_precision_answers_in_float32_and_nearly_alike(name: str) -> None:
    keras.utils.set_random_seed(0)
    model = build(name)
    x = inputs_of(model, 16)
    settle(model, x)
    result = surgery.with_precision(model, "mixed_bfloat16")
    outputs = answer(result, x)
    assert outputs.dtype == "float32"
    assert nearly_alike(name, outputs, answer(model, x))
    assert {weight.dtype for weight in result.weights} <= {"float32"}


def test_mixed_precision_computes_the_hidden_layers_in_bfloat16() -> None:
    result = surgery.with_precision(normalized(), "mixed_bfloat16")
    policies = {layer.name: layer.dtype_policy.name for layer in result.layers[1:]}
    assert policies["rescale"] == policies["predictions"] == "float32"
    hidden = {policies[f"{kind}{i}"] for kind in ("dense", "batch_norm", "stage") for i in (1, 2)}
    assert hidden == {"mixed_bfloat16"}


def test_mixed_precision_leaves_resizing_and_every_output_in_float32() -> None:
    resizing = surgery.with_input_shape(build("lenet5"), (8, 8, 1))
    result = surgery.with_precision(resizing, "mixed_bfloat16")
    assert result.get_layer("resize").compute_dtype == "float32"
    several = build("googlenet_auxiliary")
    result = surgery.with_precision(several, "mixed_bfloat16")
    assert {tensor.dtype for tensor in result.outputs} == {"float32"}
    assert len(result.outputs) == 3


@every_architecture
def test_mixed_precision_and_back_is_the_source(name: str) -> None:
    model = build(name)
    x = inputs_of(model)
    mixed = surgery.with_precision(model, "mixed_bfloat16")
    assert np.array_equal(answer(surgery.with_precision(mixed, "float32"), x), answer(model, x))


def test_freezing_leaves_the_chosen_layers_trainable() -> None:
    model = normalized()
    surgery.freeze(model, lambda layer: layer.name in {"dense2", "predictions"})
    paths = [weight.path for weight in model.trainable_weights]
    assert paths == ["dense2/kernel", "predictions/kernel", "predictions/bias"]


def test_freezing_can_be_undone_by_freezing_less() -> None:
    model = normalized()
    surgery.freeze(model, lambda layer: False)
    assert model.trainable_weights == []
    surgery.freeze(model, lambda layer: True)
    assert len(model.trainable_weights) == 4


def test_batch_normalization_is_always_frozen(pictures: np.ndarray) -> None:
    model = normalized()
    surgery.freeze(model, lambda layer: True)
    assert not any("batch_norm" in weight.path for weight in model.trainable_weights)
    before = model.get_weights()
    assert np.array_equal(answer(model, pictures), model(pictures, training=True))
    assert all(map(np.array_equal, model.get_weights(), before))


def test_batch_normalization_within_an_inner_model_is_frozen_too() -> None:
    model = wrapped()
    surgery.freeze(model, lambda layer: True)
    paths = [weight.path for weight in model.trainable_weights]
    assert len(paths) == 4
    assert not any("batch_norm" in path for path in paths)


def test_freezing_changes_no_weight(pictures: np.ndarray) -> None:
    model = normalized()
    before = model.get_weights()
    surgery.freeze(model, lambda layer: layer.name == "predictions")
    assert all(map(np.array_equal, model.get_weights(), before))


def test_a_copy_of_a_frozen_model_can_be_thawed_alone() -> None:
    model = normalized()
    surgery.freeze(model, lambda layer: False)
    result = surgery.copy(model)
    surgery.freeze(result, lambda layer: True)
    assert model.trainable_weights == []
    assert len(result.trainable_weights) == 4
