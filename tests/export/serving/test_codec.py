"""Values of JSON as tensors: nothing is lost in silence."""

import numpy as np
import pytest

from export.artifact import Tensor

codec = pytest.importorskip("export.serving.codec")
faults = pytest.importorskip("export.serving.faults")


def tensor(dtype: str) -> Tensor:
    return Tensor(name="x", shape=[None], dtype=dtype)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1e300], "float32"),
        ([2.0**63], "int64"),
        ([-(2.0**64)], "int64"),
        ([2**31], "int32"),
        ([256], "uint8"),
        ([0.5], "int32"),
    ],
)
def test_what_does_not_fit_a_type_is_refused(value: list[float], dtype: str) -> None:
    with pytest.raises(faults.BadRequest, match=r"^x "):
        codec.array_of(value, tensor(dtype))


@pytest.mark.parametrize(
    ("value", "dtype"), [([3.4e38], "float32"), ([-(2.0**63)], "int64"), ([255.0], "uint8")]
)
def test_what_fits_is_taken(value: list[float], dtype: str) -> None:
    found = codec.array_of(value, tensor(dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype("float64"), value, rtol=1e-6)


def test_an_answer_that_json_has_no_word_for_is_said_to_be_so() -> None:
    body = codec.body_of(b'{"instances": [1]}')
    with pytest.raises(faults.Unavailable, match="not a number"):
        codec.response_of({"y": np.array([np.nan], "float32")}, body)
    assert codec.response_of({"y": np.array([b"\xff"], object)}, body)
