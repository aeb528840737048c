"""Work in a forked process ends as in one that was started, and leaves nothing behind."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from export import forkserver

pytestmark = pytest.mark.skipif(not forkserver.AVAILABLE, reason="no server on this platform")

Run = Callable[..., int | None]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(fact: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Return code -> how a process ended that ran it, forked from one that knows `decimal`."""

    def ask(code: str, timeout: float = 60, **variables: str) -> int | None:
        command = ["timeit", "-n", "1", "-r", "1", code]  # a module that runs what it is told
        said = str(tmp_path / "errors.txt")
        return forkserver.run(command, said, forkserver.environment(variables), timeout, "decimal")

    yield ask
    for key in [key for key in forkserver._servers if key[0] == "decimal"]:
        forkserver._servers.pop(key).end()


def server() -> subprocess.Popen:
    return next(x for key, x in forkserver._servers.items() if key[0] == "decimal").process


def test_work_has_the_import_and_its_own_surroundings(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    wanted = "import os, sys; assert 'decimal' in sys.modules; assert os.environ['OWN'] == 'yes'"
    assert run(f"{wanted}; open('here.txt', 'w').write(str(os.getppid()))", OWN="yes") == 0
    assert (tmp_path / "here.txt").read_text() == str(server().pid)


def test_pieces_of_work_do_not_see_each_other(run: Run):
    assert run("import os; os.environ['LEFT'] = 'behind'; import decimal; decimal.left = 1") == 0
    first = server().pid
    clean = "'LEFT' not in os.environ and not hasattr(decimal, 'left')"
    assert run(f"import os, decimal; assert {clean}") == 0
    assert server().pid == first


def test_an_error_is_written_where_it_was_asked_for(run: Run, tmp_path: Path):
    assert run("raise ValueError('of its own')") == 1
    assert "ValueError: of its own" in (tmp_path / "errors.txt").read_text()
    assert run("import os; os._exit(7)") == 7


def test_a_crash_leaves_the_server(run: Run):
    assert run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)") == -11
    first = server().pid
    assert run("pass") == 0
    assert server().pid == first


def test_what_takes_too_long_is_killed(run: Run, tmp_path: Path):
    place = tmp_path / "pid"
    with pytest.raises(subprocess.TimeoutExpired):
        run(
            f"import os, time; open({str(place)!r}, 'w').write(str(os.getpid())); time.sleep(60)", 3
        )
    assert until(lambda: not alive(int(place.read_text())))
    assert run("pass") == 0


def test_a_server_that_ended_is_started_again(run: Run):
    assert run("pass") == 0
    first = server()
    first.kill()
    first.wait()
    assert run("pass") == 0
    assert server().pid != first.pid


def test_work_whose_server_is_killed_is_ended_and_not_begun_twice(run: Run, tmp_path: Path):
    place = tmp_path / "pids"
    code = f"import os, time; open({str(place)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(60)"
    found: list[int | None] = []
    thread = threading.Thread(target=lambda: found.append(run(code)))
    thread.start()
    assert until(lambda: place.exists() and place.read_text().endswith(" "))
    assert run("pass") is None  # it is busy: who asks starts a process of his own
    server().kill()
    thread.join(20)
    assert found == [-9]
    (pid,) = place.read_text().split()
    assert until(lambda: not alive(int(pid)))


def test_a_library_that_is_missing_is_left_to_a_fresh_process(tmp_path: Path):
    variables = forkserver.environment()
    said = str(tmp_path / "errors.txt")
    assert forkserver.run(["timeit"], said, variables, 60, "a_library_that_is_missing") is None


def test_a_server_ends_with_the_process_that_asked_it(tmp_path: Path):
    code = (
        "import os, sys; from export import forkserver\n"
        "command = ['timeit', '-n', '1', 'pass']\n"
        "x = forkserver.run(command, sys.argv[1], dict(os.environ), 60, 'decimal')\n"
        "print(x, *(x.process.pid for x in forkserver._servers.values()), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "errors.txt")]
    status, pid = subprocess.run(command, capture_output=True, text=True).stdout.split()
    assert status == "0"
    assert until(lambda: not alive(int(pid)))


def test_a_forked_copy_of_this_process_has_servers_of_its_own(run: Run):
    assert run("pass") == 0
    pid = os.fork()
    if not pid:
        os._exit(len(forkserver._servers))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run("pass") == 0
