"""Every architecture of the catalog leaves Python in every float form and answers alike."""

from pathlib import Path

import numpy as np
import pytest

import zoo
from export import export
from zoo.catalog import NAMES

# Deeper or wider than another variant of the same builder, and nothing else.
LARGER = {
    name
    for name in NAMES
    if name.startswith(("resnet32", "resnet44", "resnet56", "resnet110", "vit_"))
}


@pytest.mark.slow
@pytest.mark.parametrize("format", ["saved_model", "litert"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in LARGER])
def test_exports_answer_alike(name: str, format: str, tmp_path: Path) -> None:
    model = zoo.build(name)
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
