"""Names: the catalog's table, listing it, and what a wrong name is answered with."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from zoo import cards
from zoo.catalog import NAMES, ROWS
from zoo.registry import Architecture, Variant, index, natural_key

# ASCII names alone would not meet the digits of other scripts, nor "²", which is one and is not.
NAME = st.text(st.sampled_from("ab-_0123456789²٣"), max_size=8) | st.text(max_size=8)


def row(name: str, *variants: str) -> Architecture:
    """Return a row of a catalog with variants of no size."""
    return Architecture(
        name=name,
        family="vision",
        task="classification",
        builder="nowhere:none",
        variants={variant: Variant(0) for variant in variants},
        paper="",
        link="",
        year=2000,
        section="",
    )


@pytest.fixture
def packaged(tmp_path: Path, card: cards.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pretrained models, and a folder that is none."""
    for name in ("lenet5-mnist", "lenet5-fashion", "linear-diabetes"):
        own = msgspec.structs.replace(card, architecture=name.split("-")[0])
        cards.write(own, tmp_path / "pretrained" / name / "card.json")
    (tmp_path / "pretrained" / "mlp-unfinished").mkdir()
    monkeypatch.setattr("zoo.weights.PRETRAINED", tmp_path / "pretrained")


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'tiny'.*twice.*'first'.*'second'"):
        index([row("first", "small", "tiny"), row("second", "tiny")])


def test_the_index_leads_from_every_variant_to_its_row() -> None:
    first, second = row("first", "small", "tiny"), row("second", "large")
    assert index([first, second]) == {"small": first, "tiny": first, "large": second}


def test_every_row_of_the_catalog_can_be_listed_by_its_family_and_task() -> None:
    for entry in ROWS:
        names = zoo.list_models(family=entry.family, task=entry.task, pretrained=False)
        assert set(entry.variants) <= set(names)


def test_names_are_listed_in_natural_order(monkeypatch: pytest.MonkeyPatch) -> None:
    names = index([row("lenet", "lenet10", "lenet5", "lenet5_1998", "lenet"), row("net", "10net")])
    monkeypatch.setattr("zoo.catalog.NAMES", names)
    listed = zoo.list_models(pretrained=False)
    assert listed == ["10net", "lenet", "lenet5", "lenet5_1998", "lenet10"]


@given(st.lists(NAME, min_size=3, max_size=3))
def test_natural_order_is_a_total_order(names: list[str]) -> None:
    a, b, c = map(natural_key, names)
    assert (a < b) + (a == b) + (a > b) == 1
    assert not (a <= b <= c) or a <= c


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["", "_wide", "-mnist"]))
def test_numbers_in_names_are_ordered_by_size(small: int, large: int, rest: str) -> None:
    assert (natural_key(f"vgg{small}{rest}") < natural_key(f"vgg{large}{rest}")) == (small < large)


def test_wildcards_choose_names() -> None:
    assert zoo.list_models("lenet5*", pretrained=False) == ["lenet5", "lenet5_1998"]
    assert zoo.list_models("mlp_[bp]*", pretrained=False) == ["mlp_book", "mlp_practical"]
    assert zoo.list_models("LENET5") == []


def test_a_task_chooses_names() -> None:
    assert zoo.list_models(task="regression", pretrained=False) == ["linear"]
    names = zoo.list_models(task="reconstruction", pretrained=False)
    autoencoders = ["autoencoder", "autoencoder_deep", "autoencoder_denoising"]
    assert sorted(names) == [*autoencoders, "vae", "vae_conv"]


def test_a_family_chooses_names() -> None:
    names = zoo.list_models(family="vision", pretrained=False)
    assert {"convnet", "lenet5", "lenet5_1998"} <= set(names)
    assert not {"mlp", "linear"} & set(names)
    assert zoo.list_models(family="vision", task="regression", pretrained=False) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"task": "regresion"}, "no task 'regresion'; did you mean 'regression'"),
        ({"family": "visoin"}, "no family 'visoin'; did you mean 'vision'"),
        (
            {"task": ""},
            "no task ''; known: classification, control, discrimination, generation, "
            "language_modeling, reconstruction, "
            "regression, translation",
        ),
    ],
)
def test_an_unknown_task_or_family_is_answered_with_the_nearest(
    wrong: dict[str, str], words: str
) -> None:
    with pytest.raises(zoo.InputError, match=words):
        zoo.list_models(**wrong)


@pytest.mark.usefixtures("packaged")
def test_pretrained_models_are_listed_apart_from_architectures() -> None:
    pretrained = ["lenet5-fashion", "lenet5-mnist", "linear-diabetes"]
    assert zoo.list_models(pretrained=True) == pretrained
    assert set(zoo.list_models(pretrained=False)) == set(NAMES)
    assert set(zoo.list_models()) == {*pretrained, *NAMES}


@pytest.mark.usefixtures("packaged")
def test_a_pretrained_model_has_its_architecture_s_task_and_family() -> None:
    assert zoo.list_models(task="regression", pretrained=True) == ["linear-diabetes"]
    names = zoo.list_models("*mnist", family="vision", pretrained=True)
    assert names == ["lenet5-mnist"]


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("lenet", "'lenet5'"), ("mpl", "'mlp'"), ("autoencodr", "'autoencoder'")]
)
def test_an_unknown_model_is_answered_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(zoo.InputError, match=f"{wrong!r}; did you mean .*{nearest}"):
        zoo.build(wrong)


def test_a_name_near_none_is_answered_with_all() -> None:
    with pytest.raises(zoo.InputError) as error:
        zoo.build("xyzzy")
    assert all(name in str(error.value) for name in NAMES)


def test_an_unknown_argument_of_a_builder_is_answered_with_the_nearest() -> None:
    with pytest.raises(zoo.InputError, match=r"argument of 'mlp' 'droput'; did you mean 'dropout'"):
        zoo.build("mlp", droput=0.5)


def test_a_model_is_named_like_its_variant_unless_it_is_given_a_name() -> None:
    assert zoo.build("mlp_practical").name == "mlp_practical"
    assert zoo.build("softmax", name="mine").name == "mine"


def test_arguments_stand_over_those_of_the_variant() -> None:
    model = zoo.build("mlp_practical", hidden=(7,), classes=3)
    assert [layer.units for layer in model.layers if hasattr(layer, "units")] == [7, 3]


def test_listing_and_cards_import_neither_keras_nor_tensorflow(card_file: Path) -> None:
    program = (
        "import json, sys, zoo\n"
        f"facts = [zoo.list_models('lenet5'), zoo.card({str(card_file.parent)!r}).name]\n"
        "heavy = {'keras', 'tensorflow'} & sys.modules.keys()\n"
        "print(json.dumps([*facts, sorted(heavy)]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [["lenet5"], "lenet5-mnist", []]
