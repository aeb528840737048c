"""Every architecture of the catalog leaves Python in every float form and answers alike."""

from pathlib import Path

import keras
import numpy as np
import pytest
from architectures import CLOSELY, PARTICULAR, build

from export import export
from zoo.catalog import NAMES


@pytest.mark.slow
@pytest.mark.parametrize("format", ["saved_model", "litert"])
@pytest.mark.parametrize("name", [*CLOSELY, *PARTICULAR])
def test_exports_answer_alike(name: str, format: str, tmp_path: Path) -> None:
    model = build(name)
    rng = np.random.default_rng(0)
    shape = (5, *model.input_shape[1:])
    raw = rng.integers(0, 256, shape, "uint8")
    inputs = raw if model.inputs[0].dtype == "uint8" else rng.normal(size=shape).astype("float32")
    task = NAMES[name].task
    artifact = export(model, tmp_path / "out", format, samples=(inputs, None), task=task)
    assert artifact.parity.largest_difference <= 1e-4
    assert artifact.parity.agreement >= 0.999
    assert artifact.manifest.inputs[0].shape == [None, *model.input_shape[1:]]
    if format == "saved_model":
        variables = artifact.path / "variables" / "variables.data-00000-of-00001"
        assert variables.stat().st_size <= 1.05 * 4 * model.count_params() + 2000


@pytest.mark.parametrize("name", [*CLOSELY, *PARTICULAR])
def test_no_convolution_has_groups(name: str) -> None:
    """Converters and accelerators take plain and depthwise convolutions; groups are split."""
    convolutions = [x for x in build(name).layers if isinstance(x, keras.layers.Conv2D)]
    assert [x.name for x in convolutions if x.groups != 1] == []
