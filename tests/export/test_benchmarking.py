"""Every form of a model side by side: what is measured, and what is told where there is none."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from export import Measured, benchmark
from export.benchmarking import time_artifacts
from export.formats import FORMATS, missing_packages
from recipes import Run
from zoo.errors import InputError


@pytest.fixture(scope="module")
def rows(digits_run: Run) -> list[Measured]:
    return benchmark(digits_run.path, rounds=1, seconds=0.01)


def test_every_form_has_its_figures(rows: list[Measured], digits_run: Run) -> None:
    forms = [("keras", "float32")] + [
        (name, quantization)
        for name, row in FORMATS.items() if not missing_packages(row)
        for quantization in row.quantizations
    ]  # fmt: skip
    assert [(row.format, row.quantization) for row in rows] == forms
    accuracy = digits_run.metrics["test"]["accuracy"]
    for row in rows:
        assert row.why_not == ""
        assert row.bytes > 30_000
        assert 0 < row.median[1] <= row.p95[1]
        assert row.throughput == pytest.approx(32e3 / row.median[32])
        assert row.load_milliseconds > row.median[1]
        assert (row.metric, row.agreement > 0.97) == ("accuracy", True)
        assert row.value == pytest.approx(accuracy, abs=0.02)
    assert rows[0].value == pytest.approx(accuracy)


def test_a_form_that_cannot_be_is_named_with_its_reason(tmp_path: Path) -> None:
    import keras
    import numpy as np

    pytest.importorskip("openvino")

    @keras.saving.register_keras_serializable(package="tests")
    class Worded(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            import tensorflow as tf

            return tf.strings.to_number(tf.strings.as_string(x))

    inputs = keras.Input((4,), name="row")
    model = keras.Model(inputs, Worded()(inputs))
    samples = (np.ones((4, 4), "float32"), None)
    found = benchmark(
        model,
        formats=["saved_model", "litert", "openvino"],
        samples=samples,
        rounds=1,
        seconds=0.01,
    )
    by_name = {(row.format, row.quantization): row for row in found}
    assert by_name["saved_model", "float32"].why_not == ""
    assert "no built-in form" in by_name["litert", "float32"].why_not
    assert by_name["openvino", "float32"].why_not.endswith("AsString, StringToNumber")


def test_what_cannot_be_measured() -> None:
    with pytest.raises(InputError, match="did you mean 'litert'"):
        benchmark("lenet5-mnist", formats=["lite"])
    with pytest.raises(InputError, match="above 0"):
        benchmark("lenet5-mnist", rounds=0)
    with pytest.raises(InputError, match="no samples"):
        benchmark("lenet5-mnist", formats=["litert"])


def test_by_the_command_line(
    digits_run: Run, answer: Callable[..., Any], complaint: Callable[..., str], tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    found = answer(
        *("benchmark", str(digits_run.path), "--formats", "litert", "--rounds", "1"),
        *("--seconds", "0.01", "--out", str(table)),
    )
    assert len(found["forms"]) == len(pd.read_csv(table)) == 6
    again = ["benchmark", str(digits_run.path), "--out", str(table)]
    assert "exists already" in complaint(*again)
    assert "is a CSV file" in complaint("benchmark", "lenet5-mnist", "--out", "table.txt")
    assert "no pretrained model" in complaint("benchmark", "lenet6")


def test_some_of_the_samples_that_a_run_keeps(
    digits_run: Run, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(model: Any, *, samples: Any, **_: Any) -> None:
        raise InputError(f"{len(samples[0])} inputs, {len(samples[1])} targets")

    monkeypatch.setattr("export.benchmark", counted)
    line = complaint("benchmark", str(digits_run.path), "--examples", "5")
    assert "5 inputs, 5 targets" in line


def test_an_interruption_leaves_no_clock_running(exported: Any, digits_run: Run) -> None:
    made, images = exported("litert", "float32"), digits_run.samples("test").inputs[:1]

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            time_artifacts([made], {"image": images}, seconds=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    clocks = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for clock in clocks:
        clock.join(5)
    assert not any(clock.is_alive() for clock in clocks)
