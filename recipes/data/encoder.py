"""How the rows of a table become numbers, kept beside the model that learned from them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from zoo.cards import Frozen
from zoo.errors import InputError
from zoo.registry import natural_key, unknown

_MOST_CATEGORIES = 50


class Column(Frozen, frozen=True):
    """How one column of a table becomes numbers.

    Attributes:
        name: its heading.
        categories: its values, each of which becomes a column of 0 and 1; empty for numbers.
        fill: number that stands in for a missing one: the median of the training rows.
        flag: whether a column of 0 and 1 says that the number was missing.
    """

    name: str
    categories: list[str] = []
    fill: float = 0.0
    flag: bool = False


class Encoder(Frozen, frozen=True):
    """Turns the rows of a table into float32 features, always in the same way.

    Example:
        >>> import pandas as pd
        >>> from recipes.data.encoder import Encoder
        >>> rows = pd.DataFrame({"height": [1.5, None, 1.9], "colour": ["red", "blue", "red"]})
        >>> encoder = Encoder.fit(rows)
        >>> encoder.features
        ['height', 'height is missing', 'colour = blue', 'colour = red']
        >>> encoder.encode(rows).tolist()[1]
        [1.7000000476837158, 1.0, 1.0, 0.0]
    """

    columns: list[Column]

    @classmethod
    def fit(cls, rows: pd.DataFrame) -> "Encoder":
        """Take categories and medians from the training rows.

        Raises:
            InputError: a column without values, or with too many different texts.
        """
        columns = []
        for name in rows.columns:
            values = rows[name]
            if values.notna().sum() == 0:
                raise InputError(f"the column {name!r} has no values: leave it out (drop).")
            if pd.api.types.is_numeric_dtype(values):
                columns.append(
                    Column(name=name, fill=float(values.median()), flag=bool(values.isna().any()))
                )
                continue
            numbers = pd.to_numeric(values, errors="coerce")
            odd = values[numbers.isna() & values.notna()]
            if not len(odd):  # a text among them stands in rows that are there to measure with
                flag = bool(values.isna().any())
                columns.append(Column(name=name, fill=float(numbers.median()), flag=flag))
                continue
            categories = sorted(_texts(values.dropna()).unique(), key=natural_key)
            if len(categories) > _MOST_CATEGORIES:
                if len(odd) < len(values) / 10:
                    raise InputError(
                        f"the column {name!r} holds numbers, but {odd.iloc[0]!r} in line "
                        f"{odd.index[0] + 2}: correct it, empty it, or leave the column out (drop)."
                    )
                raise InputError(
                    f"the column {name!r} has {len(categories)} different texts, such as "
                    f"{categories[0]!r}: more than {_MOST_CATEGORIES} are no categories. Leave it "
                    "out (drop), or group its values; a date can become numbers, such as its year."
                )
            columns.append(Column(name=name, categories=categories))
        return cls(columns=columns)

    @classmethod
    def numbers(cls, names: Iterable[str]) -> "Encoder":
        """Return the encoder of columns that hold numbers without gaps."""
        return cls(columns=[Column(name=name) for name in names])

    @property
    def features(self) -> list[str]:
        """Names of the features, in order."""
        names = []
        for column in self.columns:
            if column.categories:
                names += [f"{column.name} = {category}" for category in column.categories]
            else:
                names += [column.name] + [f"{column.name} is missing"] * column.flag
        return names

    def unknown_categories(self, rows: pd.DataFrame) -> list[tuple[str, str]]:
        """Return (column, value) of each category that was not there in training."""
        return [
            (column.name, value)
            for column in self.columns
            if column.categories and column.name in rows
            for value in sorted(set(_texts(rows[column.name].dropna())))
            if value not in column.categories
        ]

    def encode(self, rows: pd.DataFrame) -> np.ndarray:
        """Return `(rows, features)` float32.

        An unknown category becomes zeros in all of its column's features.

        Raises:
            InputError: a column is missing, or holds text where numbers were learned.
        """
        encoded = []
        for column in self.columns:
            if column.name not in rows:
                raise unknown(column.name, map(str, rows.columns), "column")
            values = rows[column.name]
            if column.categories:
                text = _texts(values).to_numpy()
                encoded += [text == category for category in column.categories]
                continue
            numbers = pd.to_numeric(values, errors="coerce").replace([np.inf, -np.inf], np.nan)
            wrong = values[numbers.isna() & values.notna() & ~values.isin([np.inf, -np.inf])]
            if len(wrong):
                raise InputError(
                    f"the column {column.name!r} holds numbers, but {wrong.iloc[0]!r} in line "
                    f"{wrong.index[0] + 2}: correct it, or empty it."
                )
            encoded.append(numbers.fillna(column.fill).to_numpy())
            encoded += [numbers.isna().to_numpy()] * column.flag
        return np.stack(encoded, axis=1).astype("float32")


def _texts(values: pd.Series) -> pd.Series:
    """Return values as texts; whole numbers without ".0", whatever pandas made of them."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() == values.dropna().round()).all():
        values = values.astype("Int64")
    return values.astype(str)
