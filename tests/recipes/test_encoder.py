"""How the rows of a table become numbers."""

import numpy as np
import pandas as pd
import pytest

from recipes.data import Encoder
from zoo import InputError


def test_a_gap_that_training_did_not_have_is_filled_without_a_flag():
    encoder = Encoder.fit(pd.DataFrame({"x": [1.0, 2.0, 4.0]}))
    assert encoder.encode(pd.DataFrame({"x": [np.nan, 3.0]})).tolist() == [[2.0], [3.0]]


def test_infinite_numbers_count_as_missing_when_rows_are_encoded():
    encoder = Encoder.fit(pd.DataFrame({"x": [1.0, np.nan, 5.0]}))
    assert encoder.encode(pd.DataFrame({"x": [np.inf, -np.inf]})).tolist() == [[3, 1], [3, 1]]


def test_an_unknown_category_is_zeros_and_listed():
    encoder = Encoder.fit(pd.DataFrame({"colour": ["red", "blue"], "x": [1, 2]}))
    rows = pd.DataFrame({"colour": ["green", "red", None, "grey", "green"], "x": [1] * 5})
    assert encoder.features == ["colour = blue", "colour = red", "x"]
    assert encoder.encode(rows)[:, :2].tolist() == [[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]]
    assert encoder.unknown_categories(rows) == [("colour", "green"), ("colour", "grey")]


def test_known_categories_are_not_listed():
    encoder = Encoder.fit(pd.DataFrame({"colour": ["red", "blue"]}))
    assert encoder.unknown_categories(pd.DataFrame({"colour": ["blue", None]})) == []


def test_categories_stand_in_natural_order():
    encoder = Encoder.fit(pd.DataFrame({"room": ["room 10", "room 9", "room 1"]}))
    assert encoder.columns[0].categories == ["room 1", "room 9", "room 10"]


def test_raised_digits_are_ordinary_text():
    encoder = Encoder.fit(pd.DataFrame({"unit": ["10³", "10²", "m²"]}))
    assert sorted(encoder.columns[0].categories) == ["10²", "10³", "m²"]


def test_numbers_that_were_learned_as_categories_are_found_again():
    encoder = Encoder.fit(pd.DataFrame({"grade": ["1", "2", "x"]}))
    rows = pd.DataFrame({"grade": [1.0, np.nan, 2.0]})  # what pandas makes of 1, nothing, 2
    assert encoder.encode(rows).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert encoder.unknown_categories(rows) == []


@pytest.mark.parametrize("values", [[True, False, True], [True, None, False]])
def test_truth_values_can_be_a_column(values: list[bool | None]):
    encoder = Encoder.fit(pd.DataFrame({"tame": values}))
    encoded = encoder.encode(pd.DataFrame({"tame": values}))
    assert encoded[0].tolist() != encoded[2 if values[1] is None else 1].tolist()
    assert np.isfinite(encoded).all()


def test_text_where_numbers_are_wanted_is_named_with_column_and_line():
    encoder = Encoder.fit(pd.DataFrame({"length": [1.0, 2.0]}))
    rows = pd.DataFrame({"length": ["1.5", "long", "2"]}, index=[4, 5, 6])
    with pytest.raises(InputError, match=r"'length' holds numbers, but 'long' in line 7"):
        encoder.encode(rows)


def test_numbers_written_as_text_are_numbers():
    encoder = Encoder.fit(pd.DataFrame({"length": [1.0, 2.0]}))
    assert encoder.encode(pd.DataFrame({"length": ["1.5", "2"]})).tolist() == [[1.5], [2.0]]


def test_a_column_that_the_encoder_knows_and_the_rows_lack_is_answered_with_the_nearest():
    encoder = Encoder.fit(pd.DataFrame({"length": [1.0, 2.0]}))
    with pytest.raises(InputError, match=r"'length'.*'lenght'"):
        encoder.encode(pd.DataFrame({"lenght": [1.0]}))
