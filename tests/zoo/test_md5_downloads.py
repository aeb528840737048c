"""Files of which an MD5 was published, and no size: checked, bounded, resumed, over https alone."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from weight_files import CONTENT, FILE, entry, entry_of_md5, flipped, left, place_of_md5, put

import zoo
from zoo import weights

pytestmark = pytest.mark.usefixtures("online")

HALF = len(CONTENT) // 2


def test_a_download_lands_in_the_cache_under_its_md5(site: Any, folder: Path) -> None:
    wanted = entry_of_md5(site.url)
    assert wanted.size is None
    path = weights.fetch(wanted, folder)
    assert path == place_of_md5()
    assert path.parent.name == wanted.md5
    assert path.read_bytes() == CONTENT
    assert weights.fetch(wanted, folder) == path
    assert len(site.ranges) == 1


@pytest.mark.parametrize("states", [True, False])
def test_other_content_is_refused_and_not_kept(site: Any, folder: Path, states: bool) -> None:
    site.then(content=flipped(CONTENT), states=states, times=weights.ATTEMPTS)
    with pytest.raises(zoo.InputError, match="another MD5 than the card"):
        weights.fetch(entry_of_md5(site.url), folder)
    assert left() == []


@pytest.mark.parametrize("where", ["beside", "cached"])
def test_a_damaged_file_is_refused(site: Any, folder: Path, where: str) -> None:
    path = put(folder / FILE if where == "beside" else place_of_md5(), CONTENT[:-1])
    message = re.escape(f"{path} is damaged: its MD5 is not the card's")
    with pytest.raises(zoo.InputError, match=message):
        weights.fetch(entry_of_md5(site.url), folder)
    assert site.ranges == []


def test_a_cut_connection_is_noticed_by_the_stated_length_and_resumed(
    site: Any, folder: Path
) -> None:
    site.then(limit=HALF)
    assert weights.fetch(entry_of_md5(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-"]
    assert site.sent == [HALF, len(CONTENT) - HALF]


def test_a_later_call_goes_on_where_a_failed_one_stopped(site: Any, folder: Path) -> None:
    site.then(limit=1000, times=weights.ATTEMPTS)
    with pytest.raises(zoo.InputError, match=f"after 4000 of {len(CONTENT)} bytes"):
        weights.fetch(entry_of_md5(site.url), folder)
    assert left() == [f"{FILE}.part"]
    assert weights.fetch(entry_of_md5(site.url), folder).read_bytes() == CONTENT
    assert site.ranges[-1] == "bytes=4000-"


def test_a_cut_connection_without_a_length_is_noticed_by_the_hash(site: Any, folder: Path) -> None:
    site.then(limit=HALF, states=False)
    assert weights.fetch(entry_of_md5(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, None]


def test_a_file_without_a_length_is_fetched(site: Any, folder: Path) -> None:
    site.then(states=False)
    assert weights.fetch(entry_of_md5(site.url), folder).read_bytes() == CONTENT


@pytest.mark.parametrize(("states", "sent"), [(True, "has 256007 bytes"), (False, "more than")])
def test_a_file_of_unknown_size_is_bounded(
    site: Any, folder: Path, states: bool, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "LARGEST", HALF)
    site.then(states=states)
    with pytest.raises(zoo.InputError, match=f"{sent}.*{HALF}"):
        weights.fetch(entry_of_md5(site.url), folder)
    assert len(site.ranges) == 1
    assert left() == []


def test_a_refused_connection_says_what_to_do(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    wanted = entry_of_md5(f"http://127.0.0.1:{port}/{FILE}")
    with pytest.raises(zoo.InputError, match=r"could not be fetched: .*refused") as error:
        weights.fetch(wanted, folder)
    for part in (wanted.url, f"Put the file at {place_of_md5()} by hand", wanted.md5):
        assert part in str(error.value)
    put(place_of_md5(), CONTENT)
    assert weights.fetch(wanted, folder) == place_of_md5()


def test_offline_the_error_says_what_was_looked_for_and_where(
    site: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(zoo.InputError, match=r"ZOO_OFFLINE is set.*by hand") as error:
        weights.fetch(entry_of_md5(site.url), folder)
    assert all(str(p) in str(error.value) for p in (folder / FILE, place_of_md5(), site.url))
    assert site.ranges == []


def test_over_plain_http_no_connection_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    with pytest.raises(zoo.InputError, match="is not an https address"):
        weights.fetch(entry_of_md5("http://example.org/model.weights.h5"), folder)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://example.org/model.weights.h5", "http://example.org/.* is not an https address"),
        ("ftp://127.0.0.1/model.weights.h5", "not an http or https address"),
    ],
)
def test_a_redirect_to_a_lesser_connection_is_refused(
    site: Any, folder: Path, location: str, message: str
) -> None:
    site.then(status=302, location=location)
    with pytest.raises(zoo.InputError, match=message):
        weights.fetch(entry_of_md5(site.url), folder)
    assert left() == []


@pytest.mark.parametrize("wanted", [entry, entry_of_md5])
def test_a_redirect_is_followed(site: Any, folder: Path, wanted: Any) -> None:
    site.then(status=302, location=f"{site.address}/elsewhere/{FILE}")
    assert weights.fetch(wanted(site.url), folder).read_bytes() == CONTENT
    assert len(site.ranges) == 2


def test_a_redirected_download_is_resumed(site: Any, folder: Path) -> None:
    site.then(limit=HALF)
    site.then(status=302, location=f"{site.address}/elsewhere/{FILE}")
    assert weights.fetch(entry_of_md5(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]
