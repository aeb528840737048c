"""Fine-tuning with rounded numbers: the int8 file answers as the model does."""

from pathlib import Path

import numpy as np
import pytest

import zoo
from export import export
from recipes import Recipe, Run, finetune, train
from recipes.supervised import own_data
from zoo.errors import InputError
from zoo.layers import FakeQuantize, RoundedKernel


@pytest.fixture(scope="module")
def aware(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "aware"
    return finetune("lenet5-mnist", "digits", out, epochs=3, head_epochs=1, quantize="int8")


def test_it_learns_and_says_so(aware: Run) -> None:
    assert aware.metrics["test"]["accuracy"] > 0.95
    assert aware.card.quantization == "int8"
    assert aware.config.recipe.quantize == "int8"
    model = zoo.load(aware.path)
    assert any(isinstance(layer, RoundedKernel) for layer in model.layers)
    ranges = {
        layer.name: (float(layer.least), float(layer.greatest))
        for layer in model.layers
        if isinstance(layer, FakeQuantize)
    }
    least, greatest = ranges.pop("rescale_int8")
    assert (least, greatest) == (0, aware.samples("calibration").inputs.max() / 255)
    assert ranges.pop("resize_int8") == pytest.approx((least, greatest), abs=0.01)
    assert (0, 1) not in ranges.values()  # as they are before they are set
    assert "predictions_int8" not in ranges  # a small head is not rounded


def test_its_int8_file_decides_as_it_does(aware: Run, tmp_path: Path) -> None:
    made = export(aware.path, tmp_path / "int8", "litert", "int8")
    assert made.parity.rounds
    assert made.parity.agreement >= 0.995
    assert made.parity.value == pytest.approx(made.parity.reference, abs=0.005)
    full = export("lenet5-mnist", tmp_path / "full", "litert", verify=False)
    size = (made.path / "model.tflite").stat().st_size
    assert size < 0.35 * (full.path / "model.tflite").stat().st_size


def test_it_is_fine_tuned_again(aware: Run, tmp_path: Path) -> None:
    again = finetune(aware.path, "digits", tmp_path / "run", epochs=1, quantize="int8")
    assert again.metrics["test"]["accuracy"] > 0.95
    names = [[layer.name for layer in zoo.load(run.path).layers] for run in (aware, again)]
    assert names[0] == names[1]


def test_a_killed_run_goes_on_exactly(aware: Run, tmp_path: Path) -> None:
    import keras

    class Ended(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    options = {"epochs": 3, "head_epochs": 1, "quantize": "int8"}
    with pytest.raises(KeyboardInterrupt):
        finetune("lenet5-mnist", "digits", tmp_path / "run", callbacks=[Ended()], **options)
    again = finetune("lenet5-mnist", "digits", tmp_path / "run", resume=True)
    assert again.metrics == aware.metrics
    for one, other in zip(again.load().get_weights(), aware.load().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_regression_has_its_units_back(table_run: Run, tmp_path: Path) -> None:
    run = finetune(
        table_run.path, "diabetes", tmp_path / "run", epochs=10, learning_rate=0.01, quantize="int8"
    )
    assert run.metrics["test"]["r2"] > 0.4
    data = own_data(run, None)
    values = run.load().predict(data.test.inputs, verbose=0).ravel()
    assert len(np.unique(values)) > 20
    last = run.load().layers[-1]
    assert float(last.least) <= 0 < values.max() <= float(last.greatest) + 1
    made = export(run.path, tmp_path / "int8", "litert", "int8")
    assert made.parity.value == pytest.approx(made.parity.reference, abs=0.01)


def test_what_cannot_be_rounded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'int8'"):
        finetune("lenet5-mnist", "digits", tmp_path / "x", quantize="int4")
    with pytest.raises(InputError, match="quantize is for fine-tuning"):
        train(Recipe(model="lenet5", data="digits", epochs=1, quantize="int8"), tmp_path / "x")
    with pytest.raises(InputError, match="quantize is for float32"):
        finetune(
            "lenet5-mnist", "digits", tmp_path / "x", quantize="int8", precision="mixed_bfloat16"
        )
    assert list(tmp_path.iterdir()) == []
