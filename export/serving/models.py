"""The models that a server has: which versions there are on disk, and what answers for each."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from export import artifact
from export.artifact import SIGNATURE, Manifest, Signature
from export.serving.batching import Arrays, Batcher, threads_for
from export.serving.faults import NotFound, Unavailable
from export.serving.reading import further_signatures
from zoo.errors import InputError

log = logging.getLogger("zoo.serve")


@dataclass(frozen=True)
class Settings:
    """What a server allows.

    Attributes:
        workers: processes of each version.
        max_batch: the most examples that are answered together.
        max_waiting: the most requests of a version that wait.
        max_bytes: of a request.
        seconds: that a request may take, unless it says less.
        reload_seconds: between two looks for new versions.
    """

    workers: int = 1
    max_batch: int = 64
    max_waiting: int = 256
    max_bytes: int = 32 << 20
    seconds: float = 30.0
    reload_seconds: float = 1.0


class Version:
    """A version of a model that is being served.

    Args:
        number: of the version.
        folder: of its artifact.
        manifest: what that says of itself.
        settings: of the server.
        observe: called after each batch with the number of its examples.
    """

    def __init__(
        self,
        number: int,
        folder: Path,
        manifest: Manifest,
        settings: Settings,
        observe: Callable[[int], None],
    ) -> None:
        self.number, self.folder, self.manifest = number, folder, manifest
        self.batcher = Batcher(
            folder,
            manifest.format,
            settings.workers,
            threads_for(settings.workers),
            settings.max_batch,
            settings.max_waiting,
            observe,
        )
        self.signatures = {SIGNATURE: manifest.signature(), **manifest.signatures}
        self.further = further_signatures(folder, manifest)

    def signature(self, name: str) -> Signature:
        """Return what a signature takes and gives.

        Raises:
            NotFound: there is no such signature.
        """
        name = name or SIGNATURE
        if name in self.further:
            return self.further[name].signature
        if name not in self.signatures:
            known = ", ".join([*self.signatures, *self.further])
            raise NotFound(f"there is no signature {name!r}; there are {known}.")
        return self.signatures[name]

    async def answer(self, name: str, arrays: Arrays, seconds: float) -> Arrays:
        """Return the answers of a signature."""
        name = name or SIGNATURE
        if name not in self.further:
            return await self.batcher.ask(name, arrays, seconds)
        way, loop = self.further[name], asyncio.get_running_loop()
        read = await loop.run_in_executor(None, way.read, arrays)
        found = await self.batcher.ask(way.asks, read, seconds)
        return await loop.run_in_executor(None, way.write, found)


@dataclass
class Model:
    """A model, by whatever versions it has.

    Attributes:
        name: by which it is asked for.
        place: an artifact, or a folder with one in each numbered folder.
        versions: that answer, by number.
        failed: number of a version -> why it could not be loaded.
    """

    name: str
    place: Path
    versions: dict[int, Version] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def on_disk(self) -> dict[int, Path]:
        """Return the versions that there are."""
        if (self.place / artifact.FILE).is_file():
            return {1: self.place}
        if not self.place.is_dir():
            return {}
        return {
            int(path.name): path
            for path in self.place.iterdir()
            if path.name.isdecimal() and (path / artifact.FILE).is_file()
        }

    def version(self, number: int | None = None) -> Version:
        """Return a version, by default the newest.

        Raises:
            NotFound: there is no such version.
            Unavailable: there is none that answers.
        """
        if number is None:
            if not self.versions:
                raise Unavailable(f"no version of {self.name!r} can answer.")
            return self.versions[max(self.versions)]
        if number not in self.versions:
            known = ", ".join(map(str, sorted(self.versions)))
            raise NotFound(f"{self.name!r} has no version {number}; it has {known}.")
        return self.versions[number]

    async def renew(self, settings: Settings, observe: Callable[[str, int], None]) -> None:
        """Load the newest version on disk that can be, and then take older ones away."""
        found = self.on_disk()
        served = max(self.versions, default=0)
        for number in sorted(found, reverse=True):
            if number <= served:
                return
            if number not in self.failed and await self._load(number, found[number], settings,
                                                              observe):  # fmt: skip
                return

    async def _load(
        self, number: int, folder: Path, settings: Settings, observe: Callable[[str, int], None]
    ) -> bool:
        """Load a version, and end those that it takes the place of; return whether it could be."""
        try:
            manifest = artifact.read(folder)
            version = Version(number, folder, manifest, settings, lambda n: observe(self.name, n))
            await version.batcher.start()
        except (InputError, Unavailable) as error:
            self.failed[number] = str(error)
            log.error("%s, version %d: %s", self.name, number, error)
            return False
        older, self.versions = list(self.versions.values()), {number: version}
        log.info("%s, version %d: serving", self.name, number)
        for one in older:
            await one.batcher.end()
            log.info("%s, version %d: ended", self.name, one.number)
        return True

    async def end(self) -> None:
        """Answer what waits, and end all versions."""
        versions, self.versions = list(self.versions.values()), {}
        for version in versions:
            await version.batcher.end()


def described(version: Version) -> dict[str, Any]:
    """Return what a version takes and gives, as TensorFlow Serving's `/metadata` says it."""

    def tensors(which: list[Any]) -> dict[str, Any]:
        return {
            t.name: {
                "dtype": f"DT_{_DTYPES.get(t.dtype, t.dtype.upper())}",
                "tensor_shape": {
                    "dim": [{"size": str(-1 if n is None else n), "name": ""} for n in t.shape],
                    "unknown_rank": False,
                },
                "name": t.name,
            }
            for t in which
        }

    every = version.signatures | {name: x.signature for name, x in version.further.items()}
    return {
        name: {
            "inputs": tensors(x.inputs),
            "outputs": tensors(x.outputs),
            "method_name": "tensorflow/serving/predict",
        }
        for name, x in every.items()
    }


_DTYPES = {"float32": "FLOAT"}


def sizes(arrays: Arrays) -> int:
    """Return the bytes of some arrays."""
    return sum(np.asarray(x).nbytes for x in arrays.values())
