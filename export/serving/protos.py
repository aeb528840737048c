"""TensorFlow Serving's messages and services, without TensorFlow.

`tensorflow-serving-api` imports the messages that it shares with TensorFlow from that package,
whose own import takes seconds and 800 MB. The messages need none of it: a server takes 80 MB.
"""

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _messages_alone() -> Iterator[None]:
    """Let modules inside of TensorFlow be imported without TensorFlow itself."""
    found = importlib.util.find_spec("tensorflow")
    if "tensorflow" in sys.modules or found is None or not found.submodule_search_locations:
        yield
        return
    package = types.ModuleType("tensorflow")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:  # whoever wants TensorFlow later imports it whole
        del sys.modules["tensorflow"]


with _messages_alone():
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

__all__ = [
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_service_pb2_grpc",
]
