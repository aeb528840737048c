"""What all tests share: a quiet TensorFlow, a cache of their own, and two small finished runs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

if TYPE_CHECKING:
    import keras

    from recipes import Run


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of the tests, and the network too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_HOME", str(tmp_path_factory.mktemp("zoo_home")))
        patch.setenv("ZOO_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the prepared TensorFlow Datasets."""
    folder = os.environ.get("ZOO_DATA_DIR")
    if not folder:
        pytest.skip("ZOO_DATA_DIR is not set: the prepared data sets are not here")
    return Path(folder)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A LeNet-5 fine-tuned from `lenet5-mnist` on scikit-learn's digits."""
    from recipes import finetune

    out = tmp_path_factory.mktemp("runs") / "digits"
    return finetune("lenet5-mnist", "digits", out, epochs=2, head_epochs=1)


@pytest.fixture(scope="session")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A small perceptron trained on a regression table."""
    from recipes import Recipe, train

    recipe = Recipe(
        model="mlp", arguments={"hidden": [16]}, data="diabetes", epochs=5, learning_rate=0.05
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "diabetes")


@pytest.fixture(scope="session")
def lenet() -> "keras.Model":
    """The packaged `lenet5-mnist`."""
    import zoo

    return zoo.load("lenet5-mnist")
