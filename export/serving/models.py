"""The models that a server has: which versions there are on disk, and what answers for each."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export import artifact
from export.artifact import SIGNATURE, Manifest, Signature
from export.batches import Arrays
from export.formats import threads
from export.serving.batching import Batcher, threads_for
from export.serving.faults import BadRequest, Late, NotFound, Unavailable
from export.serving.reading import further_signatures
from zoo.errors import InputError

log = logging.getLogger("zoo.serve")
# Pictures and texts are read by threads of their own: others have more urgent work.
_READERS = ThreadPoolExecutor(threads(), "reading")
_COUNT = "n"  # what signatures that make examples of nothing call their number


Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Settings:
    """What a server allows.

    Attributes:
        workers: processes of each version.
        max_batch: the most examples that are answered together.
        max_waiting: the most requests of a version that wait.
        max_bytes: of a request.
        max_held: bytes of all requests that are being answered.
        seconds: that a request may take, unless it says less.
        reload_seconds: between two looks for new versions.
    """

    workers: int = 1
    max_batch: int = 16  # on processors, larger ones are no faster, and wait for each other
    max_waiting: int = 256
    max_bytes: int = 32 << 20
    max_held: int = 512 << 20
    seconds: float = 30.0
    reload_seconds: float = 1.0


class Version:
    """A version of a model that is being served.

    Args:
        number: of the version.
        folder: of its artifact.
        manifest: what that says of itself.
        stamp: names, times and sizes of its files.
        settings: of the server.
        observe: called after each batch with the number of its examples.
    """

    def __init__(
        self,
        number: int,
        folder: Path,
        manifest: Manifest,
        stamp: Stamp,
        settings: Settings,
        observe: Callable[[int], None],
    ) -> None:
        self.number, self.manifest, self.stamp = number, manifest, stamp
        self.batcher = Batcher(
            folder,
            settings.workers,
            threads_for(settings.workers),
            settings.max_batch,
            settings.max_waiting,
            observe,
        )
        self.further = further_signatures(folder, manifest)
        self.signatures = {
            SIGNATURE: manifest.signature(),
            **manifest.signatures,
            **{name: way.signature for name, way in self.further.items()},
        }
        self.reading = 0  # requests whose pictures or texts are being read

    def signature(self, name: str) -> Signature:
        """Return what a signature takes and gives.

        Raises:
            NotFound: there is no such signature.
        """
        name = name or SIGNATURE
        if name not in self.signatures:
            known = ", ".join(self.signatures)
            raise NotFound(f"there is no signature {name!r}; there are {known}.")
        return self.signatures[name]

    async def answer(self, name: str, arrays: Arrays, seconds: float) -> Arrays:
        """Return the answers of a signature.

        Args:
            name: of the signature, "" for "serving_default".
            arrays: its inputs.
            seconds: after which they are worth nothing any more.

        Raises:
            Fault: there is no answer, and why.
        """
        name = name or SIGNATURE
        if name not in self.further:
            self._check_count(arrays)
            return await self.batcher.ask(name, arrays, seconds)
        way, started = self.further[name], time.monotonic()
        self.batcher.check_size(arrays)
        self.batcher.admit(1 + self.reading)
        self.reading += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                read = await loop.run_in_executor(_READERS, way.read, arrays)
        except TimeoutError:
            raise Late(f"there was no answer within {seconds:g} s.") from None
        finally:
            self.reading -= 1
        left = seconds - (time.monotonic() - started)
        answers = await self.batcher.ask(way.asks, read, left)
        return await asyncio.to_thread(way.write, answers) if way.write else answers

    def _check_count(self, arrays: Arrays) -> None:
        """Refuse to make more examples of nothing than could be asked about."""
        count = arrays.get(_COUNT)
        if count is not None and count.ndim == 0 and not 1 <= count <= self.batcher.most:
            raise BadRequest(f"{_COUNT} is from 1 to {self.batcher.most:,}, not {count:,}.")


@dataclass(frozen=True)
class Failure:
    """Why a version could not be loaded.

    Attributes:
        reason: in words.
        stamp: times and sizes of its files then.
    """

    reason: str
    stamp: Stamp


def _stamp(folder: Path) -> Stamp:
    """Return names, times and sizes of the files in a folder; they change while it is copied."""
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        facts = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    except OSError:  # it is being removed
        return ()
    return tuple((name, fact.st_mtime_ns, fact.st_size) for name, fact in facts)


@dataclass
class Model:
    """A model, by whatever versions it has.

    Attributes:
        name: by which it is asked for.
        place: an artifact, or a folder with one in each numbered folder.
        versions: that answer, by number.
        failed: number of a version -> why it could not be loaded, and what it was then.
    """

    name: str
    place: Path
    versions: dict[int, Version] = field(default_factory=dict)
    failed: dict[int, Failure] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether its newest version answers."""
        return bool(self.versions) and self.version().batcher.ready

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
        """Load the newest version on disk that can be, and then take the others away.

        One whose files have changed is loaded anew, and one that could not be loaded is tried
        again; one whose folder is gone makes room for the newest that is left.
        """
        found = await asyncio.to_thread(self.on_disk)
        self.failed = {number: why for number, why in self.failed.items() if number in found}
        for number in sorted(found, reverse=True):
            stamp = await asyncio.to_thread(_stamp, found[number])
            served, failed = self.versions.get(number), self.failed.get(number)
            if served and served.stamp == stamp:
                return
            known = failed is not None and failed.stamp == stamp
            if not known and await self._load(number, found[number], stamp, settings, observe):
                return
            if served:  # what it was loaded from is gone, and still it answers
                return

    async def _load(
        self,
        number: int,
        folder: Path,
        stamp: Stamp,
        settings: Settings,
        observe: Callable[[str, int], None],
    ) -> bool:
        """Load a version, and end those that it takes the place of; return whether it could be."""
        try:
            manifest = await asyncio.to_thread(artifact.read, folder)
            version = await asyncio.to_thread(
                Version, number, folder, manifest, stamp, settings, lambda n: observe(self.name, n)
            )
            await version.batcher.start()
        except (InputError, Unavailable, OSError) as error:
            self.failed[number] = Failure(str(error), stamp)
            log.error("%s, version %d: %s", self.name, number, error)
            return False
        self.failed.pop(number, None)
        older, self.versions = list(self.versions.values()), {number: version}
        log.info("%s, version %d: serving", self.name, number)
        for one in older:
            await one.batcher.end(settings.seconds)
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

    return {
        name: {
            "inputs": tensors(x.inputs),
            "outputs": tensors(x.outputs),
            "method_name": "tensorflow/serving/predict",
        }
        for name, x in version.signatures.items()
    }


_DTYPES = {"float32": "FLOAT"}
