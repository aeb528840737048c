"""Each conversion is done once and looked at by many tests."""

import os
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


@pytest.fixture(scope="session")
def multi30k() -> Callable[[str, int], dict[str, list[str]]]:
    """Return (split, number) -> the first sentences, German "de" and English "en"."""

    def sentences(split: str, count: int) -> dict[str, list[str]]:
        data = os.environ.get("ZOO_DATA_DIR")
        folder = Path(data or "").parent / "text" / "multi30k"
        if not data or not folder.is_dir():
            pytest.skip("ZOO_DATA_DIR is not set, or has no text/multi30k beside it")
        return {
            language: (folder / f"{split}.{language}").read_text().splitlines()[:count]
            for language in ("de", "en")
        }

    return sentences
