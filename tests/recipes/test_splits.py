"""The division by content, and the sets that have names."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recipes import Splits, load_data
from recipes.data import Examples
from recipes.data.splits import SPLITS, content_hashes, divide, strata_of
from zoo import InputError

SIZES = {"digits": 1797, "iris": 150, "wine": 178, "breast_cancer": 569, "diabetes": 442}

examples = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=80)
shares = st.lists(st.floats(0.01, 0.3), min_size=1, max_size=3)


def hashed(contents: list[int]) -> np.ndarray:
    return content_hashes(np.array(contents, "int64"))


def divided(drawn: list[tuple[int, int]], fractions: list[float]) -> list[np.ndarray]:
    contents, strata = zip(*drawn, strict=True)
    return divide(hashed(list(contents)), np.array(strata), fractions)


def contents_of(data: Splits, split: str) -> set[bytes]:
    return {row.tobytes() for row in data[split].inputs}


def whole_arrays(data: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets of all splits together."""
    return data["all"].inputs, data["all"].targets


@given(examples, shares)
def test_parts_cover_all_examples_once(drawn: list[tuple[int, int]], fractions: list[float]):
    parts = divided(drawn, fractions)
    assert len(parts) == len(fractions) + 1
    assert sorted(np.concatenate(parts)) == list(range(len(drawn)))
    assert all((np.diff(part) > 0).all() for part in parts)


@given(examples, shares)
def test_a_content_is_in_one_part_even_over_strata(
    drawn: list[tuple[int, int]], fractions: list[float]
):
    parts = divided(drawn, fractions)
    found = [{drawn[i][0] for i in part} for part in parts]
    assert sum(map(len, found)) == len(set.union(*found))


@given(examples, shares, st.randoms(use_true_random=False))
def test_order_of_the_examples_does_not_matter(drawn, fractions, random):
    shuffled = random.sample(drawn, len(drawn))
    for before, after in zip(divided(drawn, fractions), divided(shuffled, fractions), strict=True):
        assert Counter(drawn[i] for i in before) == Counter(shuffled[i] for i in after)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=300),
    st.lists(st.floats(0.01, 0.3), min_size=1, max_size=2),
)
def test_each_part_has_its_share_of_each_stratum_within_one(
    strata: list[int], fractions: list[float]
):
    parts = divided(list(enumerate(strata)), fractions)
    for value, count in Counter(strata).items():
        for part, fraction in zip(parts[1:], fractions, strict=True):
            assert abs(sum(strata[i] == value for i in part) - fraction * count) <= 1


@given(st.integers(3, 12), st.integers(1, 4))
def test_three_contents_of_a_stratum_are_enough_for_three_parts(size: int, strata: int):
    drawn = [(s * 100 + n, s) for s in range(strata) for n in range(size)]
    for part in divided(drawn, [0.15, 0.15]):
        assert {drawn[i][1] for i in part} == set(range(strata))


def test_the_division_is_the_same_on_every_machine():
    parts = divide(hashed(list(range(20))), np.arange(20) % 2, [0.2, 0.2])
    assert [part.tolist() for part in parts[1:]] == [[6, 11, 16, 19], [4, 5, 8, 15]]


def test_a_share_of_zero_takes_nothing():
    assert len(divide(hashed([1, 2, 3]), np.zeros(3, int), [0.0])[1]) == 0


@settings(max_examples=30)
@given(st.lists(st.integers(0, 255), min_size=12, max_size=12), st.integers(0, 11))
def test_hashes_are_equal_only_for_equal_rows(pixels: list[int], place: int):
    one = np.array(pixels, "uint8").reshape(1, 2, 2, 3)
    other = one.copy()
    other.reshape(-1)[place] ^= 1
    hashes = content_hashes(np.concatenate([one, one, other]))
    assert hashes[0] == hashes[1] != hashes[2]


def test_hashes_see_every_array():
    same = np.zeros((2, 3), "float32")
    first, second = content_hashes(same, np.array([0, 1]))
    assert first != second


def test_quantities_are_divided_by_their_tenths():
    values = np.random.default_rng(0).normal(size=200).astype("float32")[:, None]
    assert np.bincount(strata_of(values, "regression")).tolist() == [20] * 10


@pytest.fixture(scope="module", params=SIZES)
def carried(request: pytest.FixtureRequest) -> Splits:
    return load_data(request.param)


def test_a_carried_set_is_whole_and_divided_70_15_15(carried: Splits):
    total = SIZES[carried.source]
    assert sum(carried.sizes.values()) == total
    for split in ("validation", "test"):
        assert carried.sizes[split] / total == pytest.approx(0.15, abs=0.02)


def test_a_carried_set_has_no_content_in_two_splits(carried: Splits):
    a, b, c = (contents_of(carried, split) for split in SPLITS)
    assert not a & b
    assert not a & c
    assert not b & c


def test_a_carried_set_has_every_class_in_every_split(carried: Splits):
    if carried.task == "classification":
        for split in SPLITS:
            assert set(carried[split].targets) == set(range(len(carried.labels)))
            assert carried[split].targets.dtype == "int64"
    else:
        assert carried.labels == ()
        assert carried.train.targets.shape == (len(carried.train), 1)


def test_a_carried_set_is_the_same_in_two_calls(carried: Splits):
    assert load_data(carried.source).fingerprint == carried.fingerprint


def test_a_carried_set_says_what_is_known_of_it(carried: Splits):
    assert carried.version.startswith("scikit-learn")
    assert carried.license
    assert carried.caveat
    assert len(carried.features) == (0 if carried.source == "digits" else carried.shape[0])


def test_digits_are_grey_pictures_over_the_whole_range(digits: Splits):
    assert digits.shape == (8, 8, 1)
    assert digits.train.inputs.dtype == "uint8"
    assert set(np.unique(digits.train.inputs)) == {round(255 / 16 * grey) for grey in range(17)}


def test_the_fingerprint_sees_one_pixel_one_target_and_the_split(digits: Splits):
    inputs, targets = digits.train.inputs.copy(), digits.train.targets.copy()
    inputs[0, 0, 0, 0] ^= 1
    targets[0] = (targets[0] + 1) % 10
    facts = {"task": "classification", "labels": digits.labels, "source": "", "preprocessing": ""}
    variants = [
        (digits.train, digits.validation, digits.test),
        (Examples(inputs, digits.train.targets), digits.validation, digits.test),
        (Examples(digits.train.inputs, targets), digits.validation, digits.test),
        (digits.train, digits.test, digits.validation),
    ]
    assert len({Splits(*parts, **facts).fingerprint for parts in variants}) == 4


def test_an_unknown_split_is_answered_with_the_nearest(digits: Splits):
    with pytest.raises(InputError, match="'tests'; did you mean 'test'"):
        digits["tests"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="'digits'"):
        load_data("digit")


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_what_validation_does_not_need_is_learned_from(name: str):
    whole, data = load_data(name), load_data(name, validation=12)
    assert data.sizes["validation"] == pytest.approx(12, abs=2)
    assert contents_of(data, "validation") < contents_of(whole, "validation")
    moved = contents_of(whole, "validation") - contents_of(data, "validation")
    assert contents_of(data, "train") == contents_of(whole, "train") | moved
    assert contents_of(data, "test") == contents_of(whole, "test")
    target_of = {x.tobytes(): y for x, y in zip(*whole_arrays(whole), strict=True)}
    assert all(target_of[x.tobytes()] == y for x, y in zip(*whole_arrays(data), strict=True))
    assert not contents_of(data, "train") & contents_of(data, "validation")
    if name == "iris":
        assert np.bincount(data.validation.targets).tolist() == [4, 4, 4]


def test_more_validation_than_there_is_changes_nothing():
    whole = load_data("iris")
    assert load_data("iris", validation=10**6).fingerprint == whole.fingerprint
    assert load_data("iris", validation=0).fingerprint == whole.fingerprint


def test_validation_keeps_an_example_or_says_that_it_cannot():
    x = np.arange(20, dtype="float32")[:, None]
    parts = [np.arange(16), np.array([16, 17]), np.array([18, 19])]
    facts = {"task": "classification", "labels": ("a", "b"), "source": "s", "preprocessing": "none"}
    data = Splits.of(Examples(x, np.arange(20) % 2), parts, **facts)
    with pytest.raises(InputError, match="too few validation examples"):
        data.validated_by(1)


def test_a_name_is_not_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for label in "ab":
        for number in range(5):
            path = tmp_path / "digits" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.effect_noise((8, 8), 50 + number).save(path)
    monkeypatch.chdir(tmp_path)
    for source in ("./digits", Path("digits")):
        data = load_data(source, shape=(8, 8, 1))
        assert (data.labels, data.source) == (("a", "b"), "./digits")
        assert load_data(data.source, shape=(8, 8, 1)).fingerprint == data.fingerprint


def test_data_of_one_task_is_not_taken_for_another():
    with pytest.raises(InputError, match="is data for classification, not for regression"):
        load_data("digits", task="regression")


@pytest.mark.parametrize("validation", [-1, 0.5, "many"])
def test_validation_is_a_number_of_examples(validation: Any):
    with pytest.raises(InputError, match="a number of examples"):
        load_data("iris", validation=validation)


@pytest.mark.slow
def test_mnist_keeps_its_own_test_set(needs: Callable[[str], None]):
    needs("mnist")
    data = load_data("mnist")
    assert data.sizes["test"] == 10_000
    assert data.sizes["train"] + data.sizes["validation"] == 60_000
    assert data.shape == (28, 28, 1)
    assert data.labels == tuple("0123456789")
    assert not contents_of(data, "train") & contents_of(data, "validation")
    counts = np.bincount(data.train.targets) + np.bincount(data.validation.targets)
    np.testing.assert_allclose(np.bincount(data.validation.targets), counts / 12, atol=1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lossy"), [("cifar10", True), ("fashion_mnist", False)])
def test_a_copy_that_passed_through_a_jpeg_says_so(
    name: str, lossy: bool, needs: Callable[[str], None]
):
    needs(name)
    assert ("JPEG" in load_data(name).caveat) == lossy


def test_a_set_that_is_not_there_is_named_with_the_ways_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ZOO_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=r"mnist.*ZOO_DATA_DIR.*download=True"):
        load_data("mnist")


def test_a_data_dir_that_is_no_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZOO_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"ZOO_DATA_DIR.*nowhere"):
        load_data("mnist")


def test_offline_refuses_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZOO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(InputError, match="ZOO_OFFLINE"):
        load_data("mnist", download=True)
