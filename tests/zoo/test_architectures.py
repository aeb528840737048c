"""Every architecture of the catalog keeps the same promises."""

import inspect
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from architectures import (
    CLOSELY,
    LENGTH,
    PUBLISHED,
    TOTALS,
    build,
    nearly_alike,
    raw,
    some,
)

import zoo
from zoo.catalog import NAMES
from zoo.registry import builder

RESNET_CIFAR = {
    "stage1": (32, 32, 16),
    "stage2": (16, 16, 32),
    "stage3": (8, 8, 64),
    "pooled": (64,),
}


def pyramid(sides: Sequence[int], channels: Sequence[int], pooled: int = 0) -> dict[str, tuple]:
    """Return the shapes of square stages, and of the pooled features where there are some."""
    stages = zip(sides, channels, strict=True)
    shapes: dict[str, tuple] = {
        f"stage{number}": (side, side, width)
        for number, (side, width) in enumerate(stages, start=1)
    }
    return shapes | ({"pooled": (pooled,)} if pooled else {})


STAGES = {
    "mlp": {"stage1": (256,), "stage2": (128,)},
    "mlp_book": {"stage1": (400,), "stage2": (200,), "stage3": (100,), "stage4": (50,)},
    "mlp_practical": {"stage1": (128,), "stage2": (64,)},
    "mlp_unit5": {"stage1": (200,), "stage2": (100,)},
    "autoencoder": {"code": (30,)},
    "autoencoder_deep": {"stage1": (50,), "code": (10,), "stage2": (50,)},
    "autoencoder_denoising": {"code": (500,)},
    "vae": {"stage1": (500,), "code": (20,), "stage2": (500,)},
    "vae_conv": {"stage1": (128,), "code": (20,), "stage2": (128,), "stage3": (3136,)},
    "lenet5": {"stage1": (14, 14, 6), "stage2": (5, 5, 16)},
    "lenet5_1998": {"stage1": (14, 14, 6), "stage2": (5, 5, 16)},
    "convnet": {"stage1": (12, 12, 8), "stage2": (5, 5, 16), "pooled": (400,)},
    "resnet20": RESNET_CIFAR,
    "resnet20_b": RESNET_CIFAR,
    # Pictures of 64×64, but for the small networks and Inception-v3's 75×75.
    "alexnet": pyramid((7, 3, 1), (96, 256, 256)),
    "vgg11": pyramid((32, 16, 8, 4, 2), (64, 128, 256, 512, 512)),
    "vgg11_bn": pyramid((32, 16, 8, 4, 2), (64, 128, 256, 512, 512)),
    "googlenet": pyramid((16, 8, 8, 4, 2), (64, 192, 480, 832, 1024), 1024),
    "googlenet_bn": pyramid((16, 8, 8, 4, 2), (64, 192, 480, 832, 1024), 1024),
    "inception_half": pyramid((32, 16, 8), (40, 72, 168), 168),
    "inception_v3": pyramid((17, 7, 7, 3, 1), (64, 192, 288, 768, 2048), 2048),
    "resnet18": pyramid((16, 8, 4, 2), (64, 128, 256, 512), 512),
    "resnet50": pyramid((16, 8, 4, 2), (256, 512, 1024, 2048), 2048),
    "resnet18_v2": pyramid((8, 4, 2, 2), (64, 128, 256, 512), 512),
    "resnet50_v2": pyramid((8, 4, 2, 2), (256, 512, 1024, 2048), 2048),
    "wide_resnet_16_4": pyramid((16, 8, 4), (64, 128, 256), 256),
    "mobilenet_v2_half": pyramid((32, 16, 8, 4, 4, 2, 2), (8, 16, 16, 32, 48, 80, 160), 1280),
    "simple_rnn_classifier": {"stage1": (16,)},
    "lstm_classifier": {"stage1": (16,)},
    "gru_classifier": {"stage1": (16,)},
    "bilstm_classifier": {"stage1": (32,)},
    "bert": {"stage1": (LENGTH, 16), "stage2": (LENGTH, 16), "pooled": (16,)},
    "vit": {f"stage{number}": (50, 64) for number in range(1, 7)} | {"pooled": (64,)},
    "efficientnet_lite0": pyramid((32, 16, 8, 4, 4, 2, 2), (16, 24, 40, 80, 112, 192, 320), 1280),
}

# What is left of a model without its top: the width of its features.
FEATURES = {
    "mlp": 128,
    "mlp_book": 50,
    "mlp_practical": 64,
    "mlp_unit5": 100,
    "autoencoder": 30,
    "autoencoder_deep": 10,
    "autoencoder_denoising": 500,
    "vae": 20,
    "vae_conv": 20,
    "lenet5": 84,
    "lenet5_1998": 84,
    "convnet": 400,
    "resnet20": 64,
    "resnet20_b": 64,
    "alexnet": 256,
    "vgg11": 512,
    "vgg11_bn": 512,
    "googlenet": 1024,
    "googlenet_bn": 1024,
    "inception_half": 168,
    "inception_v3": 2048,
    "resnet18": 512,
    "resnet50": 2048,
    "resnet18_v2": 512,
    "resnet50_v2": 2048,
    "wide_resnet_16_4": 256,
    "mobilenet_v2_half": 1280,
    "vit": 64,
    "simple_rnn_classifier": 16,
    "lstm_classifier": 16,
    "gru_classifier": 16,
    "bilstm_classifier": 32,
    "bert": 16,
    "efficientnet_lite0": 1280,
}

every_architecture = pytest.mark.parametrize("name", CLOSELY)
every_classifier = pytest.mark.parametrize(
    "name", [name for name in CLOSELY if NAMES[name].task == "classification"]
)


# Read nothing but numbers that may be whole.
WHOLE = [name for name in CLOSELY if NAMES[name].family not in ("sequence", "generative")]


def built(name: str, **arguments: object) -> keras.Model:
    """Build a model that is the same in every call."""
    keras.utils.set_random_seed(1)
    model = build(name, **arguments)
    settle(model)
    return model


def settle(model: keras.Model) -> None:
    """Give batch normalization the statistics of some inputs: a fresh deep net has none."""
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    if norms:
        model(raw(model, 16, seed=9), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def answer(model: keras.Model, inputs: Any) -> np.ndarray:
    """Return the model's outputs as an array."""
    return keras.ops.convert_to_numpy(model(inputs))


def count(variables: list[keras.Variable]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def taking(argument: str) -> list[str]:
    """Return the names whose builders take an argument."""
    return [
        name for name in CLOSELY if argument in inspect.signature(builder(NAMES[name])).parameters
    ]


@contextmanager
def mixed_precision() -> Iterator[None]:
    """Build with the global policy "mixed_bfloat16"."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_parameters_is_the_published_one(name: str) -> None:
    with keras.StatelessScope(initialize_variables=False):  # gives no memory to the weights
        model = zoo.build(name)
    variant = NAMES[name].variants[name]
    assert count(model.trainable_weights) == variant.trainable
    assert count(model.non_trainable_weights) == variant.non_trainable
    assert variant.trainable == PUBLISHED.get(name, variant.trainable)
    total = variant.trainable + variant.non_trainable
    assert total == TOTALS.get(name, total)


@every_architecture
@pytest.mark.parametrize("examples", [1, 3])
def test_any_number_of_raw_inputs_is_answered(name: str, examples: int) -> None:
    model = built(name)
    inputs = raw(model, examples)
    assert {x.dtype.name for x in keras.tree.flatten(inputs)} == {x.dtype for x in model.inputs}
    outputs = answer(model, inputs)
    sides = zip(outputs.shape, (examples, *model.output_shape[1:]), strict=True)
    assert all(side == (LENGTH if said is None else said) for side, said in sides)
    assert outputs.dtype == "float32"
    assert np.isfinite(outputs).all()


@every_architecture
def test_an_example_is_answered_alike_in_any_company(name: str) -> None:
    model = built(name)
    inputs = raw(model, 3)
    alone = np.concatenate([answer(model, some(inputs, slice(i, i + 1))) for i in range(3)])
    assert alone == pytest.approx(answer(model, inputs), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_are_answered_alike_as_integers_and_as_floats(name: str) -> None:
    model = built(name)
    whole = np.round(raw(model, 3))
    integers = whole.astype("uint8" if model.inputs[0].dtype == "uint8" else "int32")
    assert answer(model, integers) == pytest.approx(answer(model, whole.astype("float32")), abs=0)


@every_architecture
def test_different_inputs_are_answered_differently(name: str) -> None:
    model = built(name)
    first, second = answer(model, raw(model, 2))
    assert np.abs(first - second).max() > 1e-4


@every_classifier
def test_a_classifier_ends_in_float32_probabilities_named_predictions(name: str) -> None:
    model = built(name)
    outputs = answer(model, raw(model, 16))
    assert model.layers[-1].name == "predictions"
    assert model.layers[-1].compute_dtype == outputs.dtype == "float32"
    assert outputs.min() >= 0
    assert outputs.sum(axis=-1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "name", [name for name, row in NAMES.items() if row.task == "reconstruction"]
)
def test_a_reconstruction_has_its_input_s_shape_and_lies_between_0_and_1(name: str) -> None:
    model = built(name)
    inputs = raw(model, 3)
    outputs = answer(model, inputs)
    assert outputs.shape == inputs.shape
    assert 0 <= outputs.min() <= outputs.max() <= 1


@every_architecture
def test_every_trainable_weight_has_a_gradient(name: str) -> None:
    model = built(name)
    sizes = [np.zeros(weight.shape) for weight in model.trainable_weights]
    for seed in range(4):
        inputs = raw(model, 16, seed)
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            weighting = np.random.default_rng(seed).normal(size=outputs.shape)
            loss = keras.ops.sum(outputs * weighting.astype("float32"))
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        for size, gradient in zip(sizes, gradients, strict=True):
            assert gradient is not None
            size += np.abs(tf.convert_to_tensor(gradient)) / 4
    missing = [
        weight.path
        for weight, size in zip(model.trainable_weights, sizes, strict=True)
        if not np.isfinite(size).all() or not (size > 0).any()
    ]
    assert missing == []


def test_the_tables_here_cover_every_architecture_with_a_top_that_can_be_left_out() -> None:
    assert set(taking("include_top")) == set(FEATURES) == set(STAGES)


@pytest.mark.parametrize(("name", "width"), FEATURES.items())
def test_without_its_top_a_model_ends_in_features(name: str, width: int) -> None:
    whole, base = built(name), built(name, include_top=False)
    inputs = raw(base, 3)
    assert answer(base, inputs).shape == (3, width)
    assert all(layer.name != "predictions" for layer in base.layers)
    base.set_weights(whole.get_weights()[: len(base.weights)])
    last = base.layers[-1].name
    if last == "pooled" and last not in [layer.name for layer in whole.layers]:
        stage = whole.get_layer(base.layers[-2].name).output  # VGG and AlexNet take it flat
        inner = keras.Model(whole.input, keras.layers.GlobalAveragePooling2D()(stage))
    else:
        inner = keras.Model(whole.input, whole.get_layer(last).output)
    assert answer(base, inputs) == pytest.approx(answer(inner, inputs), abs=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in taking("classes") if NAMES[name].task == "classification"]
)
def test_a_classifier_takes_another_number_of_classes(name: str) -> None:
    model = built(name, classes=4)
    assert answer(model, raw(model, 2)).shape == (2, 4)


@pytest.mark.parametrize(("name", "stages"), STAGES.items())
def test_features_are_the_outputs_of_the_named_stages(
    name: str, stages: dict[str, tuple[int, ...]]
) -> None:
    model = built(name)
    inputs = raw(model, 2)
    features = zoo.features(model)
    outputs = features(inputs)
    assert {stage: tuple(value.shape) for stage, value in outputs.items()} == {
        stage: (2, *shape) for stage, shape in stages.items()
    }
    for stage, value in outputs.items():
        inner = keras.Model(model.input, model.get_layer(stage).output)
        np.testing.assert_allclose(value, answer(inner, inputs), atol=1e-6)


def test_features_share_the_weights_of_the_model() -> None:
    model = built("convnet")
    features = zoo.features(model)
    inputs = raw(model, 1)
    model.get_layer("conv1").kernel.assign(np.zeros((5, 5, 1, 8)))
    assert np.asarray(features(inputs)["stage1"]).max() == 0


def test_features_take_the_model_s_own_inputs_without_a_warning() -> None:
    model = built("lenet5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zoo.features(model)(raw(model, 1))


def test_a_model_without_stages_has_no_features() -> None:
    with pytest.raises(zoo.InputError, match="'softmax' names no stages"):
        zoo.features(zoo.build("softmax"))


@every_architecture
def test_mixed_precision_answers_in_float32_and_nearly_alike(name: str) -> None:
    exact = built(name)
    with mixed_precision():
        mixed = built(name)
    mixed.set_weights(exact.get_weights())
    inputs = raw(exact, 16)
    outputs = answer(mixed, inputs)
    assert outputs.dtype == "float32"
    assert nearly_alike(name, outputs, answer(exact, inputs))


@every_architecture
def test_mixed_precision_keeps_the_weights_in_float32(name: str) -> None:
    with mixed_precision():
        model = build(name)
    assert {weight.dtype for weight in model.weights} == {"float32"}


@pytest.mark.slow
def test_saved_models_answer_alike_in_a_fresh_process(tmp_path: Path) -> None:
    for name in CLOSELY:
        model = built(name)
        inputs = raw(model, 4)
        model.save(tmp_path / f"{name}.keras")
        named = dict(zip([x.name for x in model.inputs], keras.tree.flatten(inputs), strict=True))
        np.savez(tmp_path / f"{name}.npz", **named, _outputs=answer(model, inputs))
    program = """
import pathlib, sys
import keras, numpy as np
import zoo.registry
zoo.registry.import_builders()
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    kept = dict(np.load(path.with_suffix(".npz")))
    outputs = kept.pop("_outputs")
    inputs = keras.tree.pack_sequence_as(model.input, [kept[x.name] for x in model.inputs])
    print(path.stem, np.abs(np.asarray(model(inputs)) - outputs).max())
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    differences = dict(line.split() for line in run.stdout.splitlines())
    assert set(differences) == set(CLOSELY)
    assert {name: gap for name, gap in differences.items() if not float(gap) <= 1e-6} == {}
