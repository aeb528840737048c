"""Packaging: weights are halved where that changes nothing; figures are of what is stored."""

from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import zoo
from export.formats import FORMATS
from recipes import Recipe, Run, load_data, train
from recipes.evaluation import measure
from zoo import InputError, cards, surgery
from zoo.cli import packaging
from zoo.cli.packaging import parity_of
from zoo.registry import build


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = Recipe(
        model="mlp", arguments={"hidden": [16]}, data="digits", epochs=3, learning_rate=0.01
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(autouse=True)
def no_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging, "parity_of", lambda *arguments: [])


def stored_types(path: Path) -> set[str]:
    types: set[str] = set()
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: types.add(str(item.dtype)) if hasattr(item, "dtype") else None
        )
    return types


def assert_figures_are_of_the_file(card: cards.Card, folder: Path, run: Run) -> None:
    model = build(card.architecture, **card.arguments)
    model.load_weights(folder / packaging.WEIGHTS)
    found = measure(model, run.samples("test"), card.task)
    stated = {m.name: m.value for m in card.metrics if m.split == "test"}
    assert stated == pytest.approx(found, abs=1e-6)


def test_weights_are_halved_where_validation_stays_the_same(small_run: Run, tmp_path: Path) -> None:
    card = packaging.package(small_run, "mlp-digits", tmp_path)
    assert stored_types(tmp_path / "mlp-digits" / packaging.WEIGHTS) == {"float16"}
    assert_figures_are_of_the_file(card, tmp_path / "mlp-digits", small_run)


def test_data_that_has_changed_is_told(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "recipes.supervised.load_data", lambda *a, **k: load_data("digits", validation=40)
    )
    with pytest.raises(InputError, match="'digits' has changed since"):
        packaging.package(small_run, "mlp-digits", tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_stay_whole_where_rounding_moves_the_likelihood_and_no_answer(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surer(model: keras.Model) -> keras.Model:
        """Return a copy with the same decisions, each of them surer."""
        result = surgery.copy(model)
        result.layers[-1].set_weights([1.5 * w for w in model.layers[-1].get_weights()])
        return result

    images = small_run.samples("test").inputs
    model = small_run.load()
    decisions = [m.predict(images, verbose=0).argmax(axis=1) for m in (model, surer(model))]
    np.testing.assert_array_equal(*decisions)
    monkeypatch.setattr(packaging, "_rounded", surer)
    card = packaging.package(small_run, "mlp-digits", tmp_path)
    assert stored_types(tmp_path / "mlp-digits" / packaging.WEIGHTS) == {"float32"}
    assert_figures_are_of_the_file(card, tmp_path / "mlp-digits", small_run)


@pytest.mark.slow
def test_an_agent_that_learned_with_int8_is_not_exported_in_int4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = replace(FORMATS["litert"], quantizations=("int8", "int4"))  # the others take a minute
    monkeypatch.setattr("export.formats.ROWS", (two,))
    card, model = zoo.card("dqn-cartpole"), zoo.load("dqn-cartpole")
    observations = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    reports = parity_of(model, card, (observations, None), observations)
    assert [(report.format, report.quantization) for report in reports] == [("litert", "int8")]
