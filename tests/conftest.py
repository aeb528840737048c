"""What all tests share: a quiet TensorFlow, a cache of their own, small finished runs, commands."""

import ctypes
import gc
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


@pytest.fixture(autouse=True, scope="module")
def given_back() -> Iterator[None]:
    """Give the memory of a module's models back: some are large, and a session holds hundreds."""
    yield
    gc.collect()
    with suppress(AttributeError, OSError):  # another C library keeps what it has
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def needs() -> Callable[[str], None]:
    """Return a function that skips the test where the named data set is not here."""

    def needed(name: str) -> None:
        folder = os.environ.get("ZOO_DATA_DIR")
        if not folder:
            pytest.skip("ZOO_DATA_DIR is not set: the prepared data sets are not here")
        above, own = Path(folder).parent, name.split("-")[0]  # multi30k-de-en lies in multi30k
        places = (Path(folder) / name, above / "images" / name, above / "text" / own)
        if not any(place.is_dir() for place in places):
            pytest.skip(f"the data set {name!r} is not in ZOO_DATA_DIR")

    return needed


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
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose last column, in whole numbers, follows from the others; with some gaps."""
    path = tmp_path_factory.mktemp("tables") / "flats.csv"
    cities = ("Bern", "Oslo", "Rome")
    lines = ["area,rooms,city,price"]
    for n in range(150):
        area, rooms, city = 30 + 7 * n % 50 / 2, 1 + n % 5, cities[n % 3]
        price = 100 * rooms + 50 * cities.index(city)
        lines.append(f"{area},{'' if n % 10 == 0 else rooms},{'' if n % 50 == 7 else city},{price}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def flats_run(flats: Path, tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A linear model trained on the flats; it is the model that makes them a regression."""
    from recipes import Recipe, train

    recipe = Recipe(
        model="linear",
        data=str(flats),
        data_options={"target": "price"},
        epochs=30,
        batch_size=16,
        learning_rate=0.1,
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "flats")


@pytest.fixture(scope="session")
def sentence_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TSV file of short sentences in two languages, whose words are in another order."""
    animals = {"hund": "dog", "kater": "cat", "vogel": "bird", "fisch": "fish", "bär": "bear"}
    colours = {"rote": "red", "graue": "grey", "junge": "young", "alte": "old"}
    verbs = {"läuft": "runs", "schläft": "sleeps", "spielt": "plays", "wartet": "waits"}
    places = {"hier": "here", "heute": "today", "draußen": "outside"}
    lines = [
        f"{place} {verb} der {colour} {animal}.\tthe {colours[colour]} {animals[animal]} "
        f"{verbs[verb]} {places[place]}."
        for animal in animals
        for colour in colours
        for verb in verbs
        for place in places
    ]
    path = tmp_path_factory.mktemp("text") / "pairs.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def translation_run(sentence_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A small transformer that has learned those pairs."""
    from recipes import Recipe, train

    recipe = Recipe(
        model="transformer",
        arguments={"width": 32, "depth": 1, "num_heads": 2, "dropout": 0.0},
        data=str(sentence_pairs),
        data_options={"task": "translation"},
        tokenizer={"kind": "words", "min_frequency": 1},
        epochs=25,
        batch_size=16,
        learning_rate=0.01,
        schedule="inverse_sqrt",
        warmup=0.1,
        clip_norm=1.0,
        label_smoothing=0.1,
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "translation")


@pytest.fixture(scope="session")
def lenet() -> "keras.Model":
    """The packaged `lenet5-mnist`."""
    import zoo

    return zoo.load("lenet5-mnist")


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return arguments -> what a command printed with --json, run in this process."""
    from zoo.cli import run

    def ask(*arguments: str) -> Any:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return ask


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return arguments -> the one line of a command that fails, run in this process."""
    from zoo.cli import run

    def ask(*arguments: str, code: int = 2) -> str:
        capsys.readouterr()
        assert run(list(arguments)) == code
        errors = capsys.readouterr().err
        lines = [line for line in errors.splitlines() if line.startswith("zoo: ")]
        assert len(lines) == 1
        assert "Traceback" not in errors
        return lines[0]

    return ask
