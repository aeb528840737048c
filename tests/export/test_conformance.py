"""Every architecture of the catalog leaves Python in every float form and answers alike."""

from pathlib import Path

import keras
import pytest
from architectures import CLOSELY, LENGTH, PARTICULAR, build, raw

from export import export
from zoo.catalog import NAMES

# On phones, these have a fixed length, and read one text at a time.
RECURRENT = {"rnn_classifier", "rnn_language_model", "seq2seq"}


@pytest.mark.slow
@pytest.mark.parametrize("format", ["saved_model", "litert"])
@pytest.mark.parametrize("name", [*CLOSELY, *PARTICULAR])
def test_exports_answer_alike(name: str, format: str, tmp_path: Path) -> None:
    fixed = format == "litert" and NAMES[name].name in RECURRENT
    model = build(name, length=LENGTH) if fixed else build(name)
    artifact = export(
        model,
        tmp_path / "out",
        format,
        samples=(raw(model, 5), None),
        task=NAMES[name].task,
        batch=1 if fixed else None,
    )
    first = artifact.manifest.inputs[0].shape
    assert artifact.parity.largest_difference <= 1e-4
    assert artifact.parity.agreement >= 0.999
    assert first == [1 if fixed else None, *model.inputs[0].shape[1:]]
    if format == "saved_model":
        variables = artifact.path / "variables" / "variables.data-00000-of-00001"
        names = 200 * len(model.weights)
        assert variables.stat().st_size <= 1.05 * 4 * model.count_params() + names


@pytest.mark.parametrize("name", [*CLOSELY, *PARTICULAR])
def test_no_convolution_has_groups(name: str) -> None:
    """Converters and accelerators take plain and depthwise convolutions; groups are split."""
    convolutions = [x for x in build(name).layers if isinstance(x, keras.layers.Conv2D)]
    assert [x.name for x in convolutions if x.groups != 1] == []
