"""Each conversion is done once and looked at by many tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export import Artifact, export
from recipes import Run

Exporter = Callable[[str, str], Artifact]


@pytest.fixture(scope="session")
def exported(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Exporter:
    """Return (format, quantization) -> the artifact of `digits_run`."""
    folder: Path = tmp_path_factory.mktemp("artifacts")
    made: dict[tuple[str, str], Artifact] = {}

    def artifact(format: str, quantization: str) -> Artifact:
        key = (format, quantization)
        if key not in made:
            made[key] = export(digits_run.path, folder / "-".join(key), *key)
        return made[key]

    return artifact
