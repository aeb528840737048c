"""Model repositories, from which TensorFlow Serving and Triton serve what was exported.

    FOLDER/tensorflow_serving/model.config       for `tensorflow_model_server --model_config_file`
    FOLDER/tensorflow_serving/NAME/1/            a SavedModel, with labels and warm-up requests
    FOLDER/triton/NAME/config.pbtxt              for `tritonserver --model-repository`
    FOLDER/triton/NAME/1/model.onnx

Servers find both at `/models`: mount a folder there. A version is written aside and moved to its
number when it is whole, so that a server that looks for new ones never loads half of one.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact import FILE, SIGNATURE, Manifest
from export.exporting import Artifact
from zoo.errors import InputError
from zoo.files import refuse_unwritable, whole_file, whole_folder

TENSORFLOW_SERVING, TRITON = "tensorflow_serving", "triton"
MOUNT = "/models"
EXTRA = "assets.extra"  # of a SavedModel: what its server reads, and its graph does not
WARM_UP, LABELS = "tf_serving_warmup_requests", "labels.txt"
_TRITON_TYPES = {
    "bool": "TYPE_BOOL", "uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "int64": "TYPE_INT64",
    "float32": "TYPE_FP32",
}  # fmt: skip
_MOST_TOGETHER, _DELAY = 64, 500  # requests in a batch, and microseconds that one waits for others


def add_to_repository(
    artifact: Artifact,
    folder: str | os.PathLike[str],
    samples: Mapping[str, np.ndarray] | np.ndarray | None = None,
    name: str = "",
) -> Path:
    """Add an artifact to a model repository, as its next version.

    Args:
        artifact: a SavedModel, for TensorFlow Serving; an ONNX file, for Triton.
        folder: of the repositories.
        samples: inputs to warm a SavedModel up with, in batches of 1 and 32; none by default.
        name: of the model; default the artifact's own.

    Returns:
        The folder of the version.

    Raises:
        InputError: the artifact is of another format, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from export import export
        >>> from export.repository import add_to_repository
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     artifact = export("lenet5-mnist", f"{folder}/saved", "saved_model", verify=False)
        ...     version = add_to_repository(artifact, f"{folder}/models")
        ...     version.name, (version / "saved_model.pb").is_file()
        ('1', True)
    """
    manifest = artifact.manifest
    name = name or manifest.name
    if not name or name != Path(name).name or name.startswith("."):
        raise InputError(f"{name!r} is no name that a model can have in a repository.")
    if manifest.format == "saved_model":
        return _for_tensorflow_serving(artifact, Path(folder) / TENSORFLOW_SERVING, samples, name)
    if manifest.format == "onnx":
        return _for_triton(artifact, Path(folder) / TRITON, name)
    raise InputError(
        f"{artifact.path} is {manifest.format}: a repository takes saved_model, for TensorFlow "
        "Serving, and onnx, for Triton."
    )


def _for_tensorflow_serving(artifact: Artifact, folder: Path, samples: Any, name: str) -> Path:
    refuse_unwritable(folder / name)
    version = _next_version(folder / name)
    with whole_folder(version) as temporary:
        for path in artifact.path.iterdir():
            if path.name != FILE:
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, temporary / path.name)
        extra = temporary / EXTRA
        extra.mkdir(exist_ok=True)
        shutil.copy2(artifact.path / FILE, extra / FILE)
        _write_labels(artifact.manifest, extra / LABELS)
        if samples is not None:
            _write_warm_up(artifact.manifest, samples, extra / WARM_UP, name)
    names = sorted(path.name for path in folder.iterdir() if _versions(path))
    lines = [
        f'  config {{\n    name: "{one}"\n    base_path: "{MOUNT}/{one}"\n'
        '    model_platform: "tensorflow"\n  }'
        for one in names
    ]
    with whole_file(folder / "model.config") as temporary:
        temporary.write_text("\n".join(["model_config_list {", *lines, "}"]) + "\n")
    return version


def _for_triton(artifact: Artifact, folder: Path, name: str) -> Path:
    manifest = artifact.manifest
    refuse_unwritable(folder / name)
    version = _next_version(folder / name)
    with whole_folder(version) as temporary:
        shutil.copy2(artifact.path / "model.onnx", temporary / "model.onnx")
        # Before the version, which a server loads as soon as it sees it.
        _write_labels(manifest, folder / name / LABELS)
        with whole_file(folder / name / "config.pbtxt") as config:
            config.write_text(triton_config(manifest, name))
    return version


def triton_config(manifest: Manifest, name: str) -> str:
    """Return what Triton is told of a model, as protobuf text."""
    together = manifest.inputs[0].shape[0] is None

    def tensors(kind: str, which: list[Any]) -> str:
        entries = []
        for tensor in which:
            sides = tensor.shape[1:] if together else tensor.shape
            dims = ", ".join("-1" if side is None else str(side) for side in sides or [1])
            labels = manifest.labels and tensor.name == "probabilities"
            entries.append(
                f'  {{\n    name: "{tensor.name}"\n    data_type: {_TRITON_TYPES[tensor.dtype]}\n'
                f"    dims: [ {dims} ]\n"
                + ("" if sides else "    reshape: { shape: [ ] }\n")  # one number an example
                + (f'    label_filename: "{LABELS}"\n' if labels else "")
                + "  }"
            )
        return f"{kind} [\n" + ",\n".join(entries) + "\n]\n"

    batching = (
        f"max_batch_size: {_MOST_TOGETHER}\n"
        f"dynamic_batching {{ max_queue_delay_microseconds: {_DELAY} }}\n"
        if together
        else "max_batch_size: 0\n"
    )
    return (
        f'name: "{name}"\nbackend: "onnxruntime"\n{batching}'
        f"{tensors('input', manifest.inputs)}{tensors('output', manifest.outputs)}"
    )


def _next_version(folder: Path) -> Path:
    return folder / str(max(_versions(folder), default=0) + 1)


def _versions(folder: Path) -> list[int]:
    """Return the numbers of the versions of a model."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def _write_labels(manifest: Manifest, path: Path) -> None:
    if manifest.labels:
        with whole_file(path) as temporary:
            temporary.write_text("\n".join(manifest.labels) + "\n")


def _write_warm_up(manifest: Manifest, samples: Any, path: Path, name: str) -> None:
    """Write requests that a server answers before it says that a version is there."""
    import tensorflow as tf

    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        raise InputError(
            "warm-up requests need tensorflow-serving-api: install deepzoo[serving]."
        ) from None
    given = samples if isinstance(samples, Mapping) else {manifest.inputs[0].name: samples}
    count = len(next(iter(given.values())))
    fixed = manifest.inputs[0].shape[0]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in [fixed] if fixed else (1, 32):
            places = np.arange(size) % count
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = SIGNATURE
            for key, values in given.items():
                tensor = tf.make_tensor_proto(np.asarray(values)[places])
                request.inputs[key].CopyFrom(tensor)
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
