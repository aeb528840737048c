"""How weights are divided among the devices of a model."""

import math
from collections.abc import Callable

import keras
import pytest

from zoo import registry
from zoo.layouts import MODEL, axes_of

# The least share of an architecture's numbers that is divided; recurrent kernels are whole.
DIVIDED = {
    "mlp": 0.99,
    "resnet50": 0.99,
    "mobilenet_v2_half": 0.9,
    "efficientnet_lite0": 0.9,
    "vit": 0.95,
    "bert_tiny": 0.9,
    "gpt": 0.95,
    "transformer": 0.99,
    "gru_attention": 0.6,
    "dcgan": 0.99,
    "dqn_2013": 0.99,
}


@pytest.fixture(scope="module")
def shapes() -> Callable[[str], dict[str, tuple[int, ...]]]:
    """Return the name of an architecture -> the shapes of its trainable weights, by their paths."""

    def found(name: str) -> dict[str, tuple[int, ...]]:
        model = registry.build(name)
        result = {weight.path: tuple(weight.shape) for weight in model.trainable_variables}
        keras.utils.clear_session()
        return result

    return found


@pytest.mark.parametrize("name", DIVIDED)
def test_most_of_an_architecture_is_divided_evenly(
    name: str, shapes: Callable[[str], dict[str, tuple[int, ...]]]
) -> None:
    for shards in (2, 4):
        whole, parts = 0, 0
        for path, shape in shapes(name).items():
            axes = axes_of(path, shape, shards)
            assert len(axes) == len(shape)
            assert axes.count(MODEL) <= 1
            assert all(size % shards == 0 for size, axis in zip(shape, axes, strict=True) if axis)
            whole += math.prod(shape)
            parts += math.prod(shape) * (MODEL in axes)
        assert parts / whole >= DIVIDED[name]


def test_attention_is_divided_by_heads_and_a_perceptron_by_hidden_units() -> None:
    assert axes_of("stage1/self_attention/query/kernel", (192, 192), 2) == (None, MODEL)
    assert axes_of("stage1_attention/query/kernel", (192, 4, 48), 2) == (None, MODEL, None)
    assert axes_of("stage1_attention/query/kernel", (192, 3, 64), 2) == (None, None, None)
    assert axes_of("stage1/self_attention/output/kernel", (192, 192), 2) == (MODEL, None)
    assert axes_of("stage1/wide/kernel", (192, 768), 2) == (None, MODEL)
    assert axes_of("stage1/narrow/kernel", (768, 192), 2) == (MODEL, None)


def test_an_embedding_of_an_odd_number_of_tokens_is_divided_by_its_width() -> None:
    assert axes_of("embedding/table", (50_257, 768), 2) == (None, MODEL)
    assert axes_of("embedding/table", (50_256, 768), 2) == (MODEL, None)


def test_recurrent_kernels_are_whole() -> None:
    assert axes_of("stage1/lstm_cell/kernel", (128, 512), 2) == (None, None)
    assert axes_of("stage1/lstm_cell/recurrent_kernel", (128, 512), 2) == (None, None)
