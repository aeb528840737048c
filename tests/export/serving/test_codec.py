"""Values of JSON as tensors: nothing is lost in silence."""

import json

import numpy as np
import pytest

from export.artifact import Signature, Tensor

predict_pb2 = pytest.importorskip("export.serving.protos").predict_pb2
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
    with pytest.raises(faults.Unavailable, match="not a number"):
        codec.response_of({"y": np.array([np.nan], "float32")}, by_rows=True)


def test_strings_of_any_shape_are_answered_and_bytes_as_base64() -> None:
    words = np.array([["süß".encode(), "heiß".encode()], [b"a", b"\xff"]], object)
    assert json.loads(codec.response_of({"y": words}, by_rows=True)) == {
        "predictions": [["süß", "heiß"], ["a", {"b64": "/w=="}]]
    }


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "int16", "uint32", "uint64"])
def test_every_type_of_numbers_goes_there_and_back(dtype: str) -> None:
    values = np.array([0, 1, 100], dtype)
    proto = predict_pb2.PredictRequest().inputs["x"]
    codec.to_proto(values, proto)
    found = codec.from_proto(proto, tensor(dtype), 1000)
    assert found.dtype == dtype
    assert found.tolist() == values.tolist()


def test_half_floats_come_as_their_bits() -> None:
    proto = predict_pb2.PredictRequest().inputs["x"]
    proto.dtype = codec.TYPES["float16"]
    proto.tensor_shape.dim.add().size = 2
    proto.half_val.extend(np.array([1.5, -2], "float16").view("uint16").tolist())
    assert codec.from_proto(proto, tensor("float16"), 1000).tolist() == [1.5, -2]


def test_more_values_than_a_shape_has_are_counted_before_they_are_read() -> None:
    proto = predict_pb2.PredictRequest().inputs["x"]
    proto.dtype = codec.TYPES["int32"]
    proto.tensor_shape.dim.add().size = 3
    proto.int_val.extend([1] * 2)
    with pytest.raises(faults.BadRequest, match="holds 2 values"):
        codec.from_proto(proto, tensor("int32"), 1000)
    proto.int_val.pop()
    assert codec.from_proto(proto, tensor("int32"), 1000).tolist() == [1, 1, 1]


def test_one_long_string_among_many_short_ones_takes_no_memory() -> None:
    content = json.dumps({"instances": ["x" * 1_000_000, *[""] * 100_000]}).encode()
    signature = Signature(inputs=[tensor("float32")], outputs=[])
    with pytest.raises(faults.BadRequest, match="takes numbers"):
        codec.arrays_of(codec.body_of(content), signature, content)


def test_deep_nesting_is_refused_at_any_depth() -> None:
    signature = Signature(inputs=[tensor("float32")], outputs=[])
    for depth in (40, 600, 100_000):
        content = b'{"instances": ' + b"[" * depth + b"true" + b"]" * depth + b"}"
        with pytest.raises(faults.BadRequest):
            codec.arrays_of(codec.body_of(content), signature, content)
