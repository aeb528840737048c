"""Where weights come from: the card's folder, the cache, or a real server, which may fail."""

import hashlib
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo import weights
from zoo.cards import Weights
from zoo.files import sha256_of

# Several blocks of 64 KiB and a rest.
CONTENT = bytes(range(256)) * 1000 + b"the end"
HALF = len(CONTENT) // 2
FILE = "model.weights.h5"


@dataclass
class Answer:
    """How the server answers one request.

    Attributes:
        status: another status than 200, with an empty body.
        limit: bytes after which it stops.
        stalls: it then keeps the connection open.
        resumes: it heeds a Range header.
        resets: it then drops the connection without a farewell.
        offset: bytes that it leaves out of a range that it was asked for.
        content: what it holds.
    """

    status: int = 200
    limit: int | None = None
    stalls: bool = False
    resumes: bool = True
    resets: bool = False
    offset: int = 0
    content: bytes = CONTENT


@dataclass
class Site:
    """A server on this machine: what it will answer, and what it was asked."""

    address: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    ranges: list[str | None] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"{self.address}/{FILE}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Serve one request by the next answer, or well if none is left."""
        answer = self.answers.popleft() if self.answers else Answer()
        wanted = request.headers["Range"]
        self.ranges.append(wanted)
        if self.gate:
            self.gate.wait(10)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and answer.resumes else 0
        if answer.status == 200 and start and start >= len(answer.content):
            answer = Answer(status=416)
        if answer.status != 200:
            self.sent.append(0)
            request.send_response(answer.status)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start += answer.offset
        body = answer.content[start:]
        request.send_response(206 if start else 200)
        if start:
            last = len(answer.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(answer.content)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        body = body[: answer.limit]
        self.sent.append(len(body))
        request.wfile.write(body)
        request.wfile.flush()
        if answer.stalls:
            self.released.wait(10)
        if answer.resets:
            # Closed without lingering, a socket sends RST in place of FIN.
            request.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            socket.close(request.connection.detach())


@contextmanager
def serving() -> Iterator[Site]:
    """Run a server on a free port of this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as result:
        yield result


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the download would have slept between its tries."""
    slept: list[float] = []
    monkeypatch.setattr(weights, "time", SimpleNamespace(sleep=slept.append))
    return slept


@pytest.fixture(autouse=True)
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    """Allow the network, keep the cache in this test's folder, and waste no time."""
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The card's folder, without weights."""
    result = tmp_path / "model"
    result.mkdir()
    return result


def entry(url: str | None, content: bytes = CONTENT) -> Weights:
    """Return the card's entry for a file."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Weights(file=FILE, bytes=len(content), sha256=sha256, url=url)


def place(content: bytes = CONTENT) -> Path:
    """Return where the cache keeps a file."""
    return weights.home() / "weights" / hashlib.sha256(content).hexdigest() / FILE


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def flipped(content: bytes) -> bytes:
    """Return the content with one bit changed."""
    return content[:-1] + bytes([content[-1] ^ 1])


def left() -> list[str]:
    """Return the names of what lies in the cache, apart from lock files."""
    files = (path for path in weights.home().rglob("*") if path.is_file())
    return sorted(path.name for path in files if path.suffix != ".lock")


def test_a_download_lands_whole_in_the_cache(site: Site, folder: Path, tmp_path: Path) -> None:
    path = weights.fetch(entry(site.url), folder)
    assert path == place()
    assert path.is_relative_to(tmp_path / "home")
    assert path.read_bytes() == CONTENT
    assert left() == [FILE]
    assert list(folder.iterdir()) == []
    assert (site.ranges, site.sent) == ([None], [len(CONTENT)])


def test_a_file_is_downloaded_once(site: Site, folder: Path) -> None:
    first = weights.fetch(entry(site.url), folder)
    assert weights.fetch(entry(site.url), folder) == first
    assert len(site.ranges) == 1


def test_an_empty_file_can_be_downloaded(site: Site, folder: Path) -> None:
    site.answers.append(Answer(content=b""))
    assert weights.fetch(entry(site.url, b""), folder).read_bytes() == b""


def test_the_cache_is_in_the_home_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOO_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.home() == tmp_path / ".cache" / "deepzoo"


def test_a_cut_connection_is_resumed_where_it_stopped(site: Site, folder: Path) -> None:
    site.answers.append(Answer(limit=HALF))
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-"]
    assert site.sent == [HALF, len(CONTENT) - HALF]
    assert left() == [FILE]


@pytest.mark.parametrize("limit", [0, HALF])
def test_a_reset_connection_is_resumed(site: Site, folder: Path, limit: int) -> None:
    site.answers.append(Answer(limit=limit, resets=True))
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert len(site.ranges) == 2


def test_a_connection_that_is_cut_again_and_again_makes_progress(site: Site, folder: Path) -> None:
    site.answers.extend(Answer(limit=1000) for _ in range(3))
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=1000-", "bytes=2000-", "bytes=3000-"]
    assert sum(site.sent) == len(CONTENT)


def test_a_later_call_goes_on_where_a_failed_one_stopped(site: Site, folder: Path) -> None:
    site.answers.extend(Answer(limit=1000) for _ in range(weights.ATTEMPTS))
    with pytest.raises(zoo.InputError, match=f"after 4000 of {len(CONTENT)} bytes"):
        weights.fetch(entry(site.url), folder)
    assert left() == [f"{FILE}.part"]
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges[-1] == "bytes=4000-"
    assert sum(site.sent) == len(CONTENT)


def test_a_server_that_ignores_ranges_sends_the_file_anew(site: Site, folder: Path) -> None:
    site.answers.extend([Answer(limit=HALF), Answer(resumes=False)])
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-"]
    assert site.sent == [HALF, len(CONTENT)]


def test_a_server_that_sends_another_range_is_not_believed(site: Site, folder: Path) -> None:
    site.answers.extend([Answer(limit=HALF), Answer(offset=7)])
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content",
    [flipped(CONTENT), CONTENT + b"more", CONTENT * 2, b"x" * len(CONTENT)],
    ids=["flipped", "longer", "twice", "other"],
)
def test_other_content_is_refused_and_not_kept(site: Site, folder: Path, content: bytes) -> None:
    site.answers.extend(Answer(content=content) for _ in range(weights.ATTEMPTS))
    with pytest.raises(zoo.InputError, match="another SHA-256 than the card"):
        weights.fetch(entry(site.url), folder)
    assert left() == []


def test_shorter_content_is_refused_and_never_under_the_file_s_name(
    site: Site, folder: Path
) -> None:
    site.answers.extend(Answer(content=CONTENT[:-1]) for _ in range(weights.ATTEMPTS))
    with pytest.raises(zoo.InputError, match="could not be fetched"):
        weights.fetch(entry(site.url), folder)
    assert not place().exists()
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT


def test_corrupt_content_is_fetched_anew(site: Site, folder: Path) -> None:
    site.answers.append(Answer(content=flipped(CONTENT)))
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, None]


def test_a_cut_download_of_corrupt_content_is_fetched_anew(site: Site, folder: Path) -> None:
    site.answers.append(Answer(content=b"x" * len(CONTENT), limit=HALF))
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("rest", [CONTENT, CONTENT + b"more", b"x" * len(CONTENT)])
def test_a_full_part_of_an_ended_process_does_no_harm(
    site: Site, folder: Path, rest: bytes
) -> None:
    put(place().with_name(f"{FILE}.part"), rest)
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert left() == [FILE]


def test_no_more_is_read_than_the_card_says(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "TIMEOUT", 0.5)
    # It promises more, and whoever waits for it runs into the time limit.
    endless = Answer(content=CONTENT * 20, limit=len(CONTENT) + 1, stalls=True)
    site.answers.extend([endless] * weights.ATTEMPTS)
    with pytest.raises(zoo.InputError, match="another SHA-256"):
        weights.fetch(entry(site.url), folder)


@pytest.mark.parametrize("limit", [0, HALF])
def test_a_stalled_connection_is_given_up_and_resumed(
    site: Site, folder: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "TIMEOUT", 0.2)
    site.answers.append(Answer(limit=limit, stalls=True))
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert len(site.ranges) == 2


def test_a_server_that_always_stalls_ends_in_an_error(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "TIMEOUT", 0.1)
    site.answers.extend(Answer(limit=0, stalls=True) for _ in range(weights.ATTEMPTS))
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


def test_the_pauses_between_tries_grow(site: Site, folder: Path, pauses: list[float]) -> None:
    site.answers.extend(Answer(status=503) for _ in range(weights.ATTEMPTS))
    with pytest.raises(zoo.InputError):
        weights.fetch(entry(site.url), folder)
    assert pauses == sorted(set(pauses))
    assert len(pauses) == weights.ATTEMPTS - 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_given_up_at_once(
    site: Site, folder: Path, status: int, pauses: list[float]
) -> None:
    site.answers.extend(Answer(status=status) for _ in range(weights.ATTEMPTS))
    with pytest.raises(zoo.InputError, match=f"{site.url} could not be fetched: HTTP {status}"):
        weights.fetch(entry(site.url), folder)
    assert len(site.ranges) == 1
    assert pauses == []


def test_the_error_says_where_to_put_the_file_by_hand(site: Site, folder: Path) -> None:
    site.answers.append(Answer(status=404))
    with pytest.raises(zoo.InputError, match=f"Put the file at {place()}"):
        weights.fetch(entry(site.url), folder)
    put(place(), CONTENT)
    assert weights.fetch(entry(site.url), folder) == place()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_s_passing_fault_is_tried_again(site: Site, folder: Path, status: int) -> None:
    site.answers.append(Answer(status=status))
    assert weights.fetch(entry(site.url), folder).read_bytes() == CONTENT
    assert len(site.ranges) == 2


def test_a_server_s_lasting_fault_ends_in_its_status(site: Site, folder: Path) -> None:
    site.answers.extend(Answer(status=500) for _ in range(weights.ATTEMPTS))
    with pytest.raises(zoo.InputError, match="HTTP 500"):
        weights.fetch(entry(site.url), folder)
    assert len(site.ranges) == weights.ATTEMPTS


@pytest.mark.parametrize(
    "url", ["file://{}", "ftp://127.0.0.1/x", "FILE://{}", "{}", "data:,x", "http://[", "http://"]
)
def test_other_addresses_than_http_are_refused(folder: Path, tmp_path: Path, url: str) -> None:
    source = put(tmp_path / "source.h5", CONTENT)
    with pytest.raises(zoo.InputError):
        weights.fetch(entry(url.format(source)), folder)
    assert left() == []


def test_a_cache_that_cannot_be_made_is_told_by_its_path(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    put(tmp_path / "home", b"a file")
    with pytest.raises(zoo.InputError, match=r"home.* cannot be written"):
        weights.fetch(entry(site.url), folder)
    assert site.ranges == []


def test_two_processes_share_one_download(site: Site, folder: Path) -> None:
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


def test_offline_no_connection_is_opened(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
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


def test_offline_the_cache_serves(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.fetch(entry(site.url), folder)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert weights.fetch(entry(site.url), folder) == place()
    assert len(site.ranges) == 1


@pytest.mark.parametrize(("value", "offline"), [("", False), ("0", False), ("1", True)])
def test_the_network_is_turned_off_by_1(
    value: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", value)
    assert weights.offline() is offline


def test_a_file_beside_the_card_comes_first(site: Site, folder: Path) -> None:
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
    site: Site, folder: Path, where: str, content: bytes, message: str
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
    beside: str, cached: str, served: str, offline: bool, content: bytes
) -> None:
    held = {"right": content, "damaged": flipped(content)}
    with (
        TemporaryDirectory() as scratch,
        serving() as site,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(scratch) / "model"
        patch.setenv("ZOO_HOME", f"{scratch}/home")
        patch.setenv("ZOO_OFFLINE", "1" if offline else "")
        candidates = [(beside, folder / FILE), (cached, place(content))]
        for state, path in candidates:
            if state != "absent":
                put(path, held[state])
        site.answers.extend(Answer(content=held.get(served, b"")) for _ in range(weights.ATTEMPTS))
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
