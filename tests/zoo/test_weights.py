"""Where weights come from: the card's folder, the cache, or an address; with the right hash."""

import hashlib
import re
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weight_files import CONTENT, FILE, entry, flipped, left, place, put

import zoo
from zoo import weights
from zoo.files import sha256_of

pytestmark = pytest.mark.usefixtures("online")


def test_the_cache_is_in_the_home_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOO_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.home() == tmp_path / ".cache" / "deepzoo"


@pytest.mark.parametrize(
    "url", ["file://{}", "ftp://127.0.0.1/x", "FILE://{}", "{}", "data:,x", "http://[", "http://"]
)
def test_other_addresses_than_http_are_refused(folder: Path, tmp_path: Path, url: str) -> None:
    source = put(tmp_path / "source.h5", CONTENT)
    with pytest.raises(zoo.InputError):
        weights.fetch(entry(url.format(source)), folder)
    assert left() == []


def test_a_cache_that_cannot_be_made_is_told_by_its_path(
    site: Any, folder: Path, tmp_path: Path
) -> None:
    put(tmp_path / "home", b"a file")
    with pytest.raises(zoo.InputError, match=r"home.* cannot be written"):
        weights.fetch(entry(site.url), folder)
    assert site.ranges == []


def test_offline_no_connection_is_opened(
    site: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setenv("ZOO_OFFLINE", "1")
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, forbidden)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, forbidden)
    with pytest.raises(zoo.InputError, match=r"ZOO_OFFLINE is set") as error:
        weights.fetch(entry(site.url), folder)
    assert all(str(p) in str(error.value) for p in (folder / FILE, place(), site.url))
    assert site.ranges == []
    assert left() == []


@pytest.mark.parametrize(("value", "offline"), [("", False), ("0", False), ("1", True)])
def test_the_network_is_turned_off_by_1(
    value: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", value)
    assert weights.offline() is offline


def test_a_file_beside_the_card_comes_first(site: Any, folder: Path) -> None:
    put(place(), CONTENT)
    beside = put(folder / FILE, CONTENT)
    assert weights.fetch(entry(site.url), folder) == beside
    assert site.ranges == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1], f"has {len(CONTENT) - 1} bytes, not {len(CONTENT)}"),
        (b"", f"has 0 bytes, not {len(CONTENT)}"),
        (CONTENT + b"x", f"has {len(CONTENT) + 1} bytes"),
        (flipped(CONTENT), "its SHA-256 is not the card's"),
    ],
    ids=["cut", "empty", "longer", "flipped"],
)
@pytest.mark.parametrize("where", ["beside", "cached"])
def test_a_damaged_file_is_refused(
    site: Any, folder: Path, where: str, content: bytes, message: str
) -> None:
    path = put(folder / FILE if where == "beside" else place(), content)
    with pytest.raises(zoo.InputError, match=re.escape(f"{path} is damaged: ") + f".*{message}"):
        weights.fetch(entry(site.url), folder)
    assert path.read_bytes() == content
    assert site.ranges == []


def test_a_missing_file_without_an_address_is_told_by_its_path(folder: Path) -> None:
    with pytest.raises(zoo.InputError, match=f"{folder / FILE} is missing.*names no address"):
        weights.fetch(entry(None), folder)


STATES = st.sampled_from(["absent", "right", "damaged"])


@settings(max_examples=60, deadline=None)
@given(
    beside=STATES,
    cached=STATES,
    served=STATES,
    offline=st.booleans(),
    content=st.binary(min_size=1, max_size=2000),
)
def test_the_first_file_that_exists_is_used_and_has_the_right_hash(
    serving: Callable[..., Any],
    beside: str,
    cached: str,
    served: str,
    offline: bool,
    content: bytes,
) -> None:
    held = {"right": content, "damaged": flipped(content)}
    with (
        TemporaryDirectory() as scratch,
        serving(held.get(served, b"")) as site,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(scratch) / "model"
        patch.setenv("ZOO_HOME", f"{scratch}/home")
        patch.setenv("ZOO_OFFLINE", "1" if offline else "")
        candidates = [(beside, folder / FILE), (cached, place(content))]
        for state, path in candidates:
            if state != "absent":
                put(path, held[state])
        url = None if served == "absent" else site.url
        if url and not offline:
            candidates.append((served, place(content)))
        state, path = next((c for c in candidates if c[0] != "absent"), ("absent", None))
        if state == "right":
            assert weights.fetch(entry(url, content), folder) == path
            assert sha256_of(path) == hashlib.sha256(content).hexdigest()
        else:
            with pytest.raises(zoo.InputError):
                weights.fetch(entry(url, content), folder)
        asked = beside == cached == "absent" != served and not offline
        assert bool(site.ranges) is asked
