"""Downloads from a real server, which may fail in all the ways that servers do."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from weight_files import CONTENT, FILE, entry, flipped, left, place, put

import zoo
from zoo import weights

pytestmark = pytest.mark.usefixtures("online")

HALF = len(CONTENT) // 2


def test_a_download_lands_whole_in_the_cache(site: Any, folder: Path, tmp_path: Path) -> None:
    path = weights.fetch(entry(site.url), folder)
    assert path == place()
    assert path.is_relative_to(tmp_path / "home")
    assert path.read_bytes() == CONTENT
    assert left() == [FILE]
    assert list(folder.iterdir()) == []
    assert (site.ranges, site.sent) == ([None], [len(CONTENT)])


def test_a_file_is_downloaded_once(site: Any, folder: Path) -> None:
    first = weights.fetch(entry(site.url), folder)
    assert weights.fetch(entry(site.url), folder) == first
    assert len(site.ranges) == 1


def test_an_empty_file_can_be_downloaded(site: Any, folder: Path) -> None:
    site.then(content=b"")
    assert weights.fetch(entry(site.url, b""), folder).read_bytes() == b""


def test_a_cut_connection_is_resumed_where_it_stopped(site: Any, folder: Path) -> None:
    site.then(limit=HALF)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-"]
    assert site.sent == [HALF, len(CONTENT) - HALF]
    assert left() == [FILE]


@pytest.mark.parametrize("limit", [0, HALF])
def test_a_reset_connection_is_resumed(site: Any, folder: Path, limit: int) -> None:
    site.then(limit=limit, resets=True)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert len(site.ranges) == 2


def test_a_connection_that_is_cut_again_and_again_makes_progress(site: Any, folder: Path) -> None:
    site.then(limit=1000, times=3)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=1000-", "bytes=2000-", "bytes=3000-"]
    assert sum(site.sent) == len(CONTENT)


def test_a_later_call_goes_on_where_a_failed_one_stopped(site: Any, folder: Path) -> None:
    site.then(limit=1000, times=weights.ATTEMPTS)
    with pytest.raises(zoo.InputError, match=f"after 4000 of {len(CONTENT)} bytes"):
        weights.fetch(entry(site.url), folder)
    assert left() == [f"{FILE}.part"]
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges[-1] == "bytes=4000-"
    assert sum(site.sent) == len(CONTENT)


def test_a_server_that_ignores_ranges_sends_the_file_anew(site: Any, folder: Path) -> None:
    site.then(limit=HALF)
    site.then(resumes=False)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-"]
    assert site.sent == [HALF, len(CONTENT)]


def test_a_server_that_sends_another_range_is_not_believed(site: Any, folder: Path) -> None:
    site.then(limit=HALF)
    site.then(offset=7)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content",
    [flipped(CONTENT), CONTENT + b"more", CONTENT * 2, b"x" * len(CONTENT)],
    ids=["flipped", "longer", "twice", "other"],
)
def test_other_content_is_refused_and_not_kept(site: Any, folder: Path, content: bytes) -> None:
    site.then(content=content, times=weights.ATTEMPTS)
    with pytest.raises(zoo.InputError, match="another SHA-256 than the card"):
        weights.fetch(entry(site.url), folder)
    assert left() == []


def test_shorter_content_is_refused_and_never_under_the_file_s_name(
    site: Any, folder: Path
) -> None:
    site.then(content=CONTENT[:-1], times=weights.ATTEMPTS)
    with pytest.raises(zoo.InputError, match="could not be fetched"):
        weights.fetch(entry(site.url), folder)
    assert not place().exists()
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT


def test_corrupt_content_is_fetched_anew(site: Any, folder: Path) -> None:
    site.then(content=flipped(CONTENT))
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, None]


def test_a_cut_download_of_corrupt_content_is_fetched_anew(site: Any, folder: Path) -> None:
    site.then(content=b"x" * len(CONTENT), limit=HALF)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("rest", [CONTENT, CONTENT + b"more", b"x" * len(CONTENT)])
def test_a_full_part_of_an_ended_process_does_no_harm(site: Any, folder: Path, rest: bytes) -> None:
    put(place().with_name(f"{FILE}.part"), rest)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert left() == [FILE]


def test_no_more_is_read_than_the_card_says(
    site: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "TIMEOUT", 0.5)
    # It promises more, and whoever waits for it runs into the time limit.
    limit, times = len(CONTENT) + 1, weights.ATTEMPTS
    site.then(content=CONTENT * 20, limit=limit, stalls=True, times=times)
    with pytest.raises(zoo.InputError, match="another SHA-256"):
        weights.fetch(entry(site.url), folder)


@pytest.mark.parametrize("limit", [0, HALF])
def test_a_stalled_connection_is_given_up_and_resumed(
    site: Any, folder: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "TIMEOUT", 0.2)
    site.then(limit=limit, stalls=True)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert len(site.ranges) == 2


def test_a_server_that_always_stalls_ends_in_an_error(
    site: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "TIMEOUT", 0.1)
    site.then(limit=0, stalls=True, times=weights.ATTEMPTS)
    start = time.monotonic()
    with pytest.raises(zoo.InputError, match=r"could not be fetched: .*timed out"):
        weights.fetch(entry(site.url), folder)
    assert time.monotonic() - start < 4
    assert len(site.ranges) == weights.ATTEMPTS
    assert not place().exists()


def test_a_refused_connection_ends_in_an_error(folder: Path, pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}/{FILE}"
    with pytest.raises(zoo.InputError, match=rf"{url} could not be fetched: .*refused"):
        weights.fetch(entry(url), folder)
    assert len(pauses) == weights.ATTEMPTS - 1
    assert left() == []


def test_the_pauses_between_tries_grow(site: Any, folder: Path, pauses: list[float]) -> None:
    site.then(status=503, times=weights.ATTEMPTS)
    with pytest.raises(zoo.InputError):
        weights.fetch(entry(site.url), folder)
    assert pauses == sorted(set(pauses))
    assert len(pauses) == weights.ATTEMPTS - 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_given_up_at_once(
    site: Any, folder: Path, status: int, pauses: list[float]
) -> None:
    site.then(status=status, times=weights.ATTEMPTS)
    with pytest.raises(zoo.InputError, match=f"{site.url} could not be fetched: HTTP {status}"):
        weights.fetch(entry(site.url), folder)
    assert len(site.ranges) == 1
    assert pauses == []


def test_the_error_says_where_to_put_the_file_by_hand(site: Any, folder: Path) -> None:
    site.then(status=404)
    with pytest.raises(zoo.InputError, match=f"Put the file at {place()}"):
        weights.fetch(entry(site.url), folder)
    put(place(), CONTENT)
    assert weights.fetch(entry(site.url), folder) == place()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_s_passing_fault_is_tried_again(site: Any, folder: Path, status: int) -> None:
    site.then(status=status)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert len(site.ranges) == 2


def test_a_server_s_lasting_fault_ends_in_its_status(site: Any, folder: Path) -> None:
    site.then(status=500, times=weights.ATTEMPTS)
    with pytest.raises(zoo.InputError, match="HTTP 500"):
        weights.fetch(entry(site.url), folder)
    assert len(site.ranges) == weights.ATTEMPTS


def test_two_processes_share_one_download(site: Any, folder: Path) -> None:
    site.gate = threading.Event()
    program = (
        "import sys, pathlib\n"
        "from zoo import cards, weights\n"
        "entry = cards.Weights(file=sys.argv[2], bytes=int(sys.argv[3]), sha256=sys.argv[4],"
        " url=sys.argv[5])\n"
        "print('ready', flush=True)\n"
        "print(weights.fetch(entry, pathlib.Path(sys.argv[1])))"
    )
    wanted = entry(site.url)
    arguments = [str(folder), FILE, str(wanted.bytes), wanted.sha256, site.url]
    command = [sys.executable, "-c", program, *arguments]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    # Both have started to fetch when the first byte leaves the server.
    threading.Timer(0.5, site.gate.set).start()
    results = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert [output.strip() for output, _ in results] == [str(place())] * 2
    assert site.sent == [len(CONTENT)]
    assert place().read_bytes() == CONTENT


def test_offline_the_cache_serves(site: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.fetch(entry(site.url), folder)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert weights.fetch(entry(site.url), folder) == place()
    assert len(site.ranges) == 1
