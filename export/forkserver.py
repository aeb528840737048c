"""A process that has imported a library, and forks a fresh one for each piece of work with it.

Importing TensorFlow takes longer than most of what is done with it: a conversion, or a run on some
samples. The process that is forked has nothing but the import in common with others, may crash or
hang as one that was started anew, and begins at once. (The standard library's fork server runs a
user's script again in each process, which this one does not.)
"""

import atexit
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe

# Elsewhere the threads that an import leaves do not outlive a fork, or there is none.
AVAILABLE = sys.platform == "linux"
_IDLE = 60.0  # seconds after which a server without work ends, and gives its memory back
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a process: those of this one, and its own."""
    return os.environ | _QUIET | dict(own or {})


class ForkServer:
    """A server that has imported `library`; it does one piece of work at a time.

    Args:
        library: the module's name.
        variables: what the import sees; work may bring others.
    """

    def __init__(self, library: str, variables: Mapping[str, str]) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            # -P: a file of the user's working folder must not stand in for a module.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, library, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def run(
        self, command: Sequence[str], errors: str, variables: Mapping[str, str], timeout: float
    ) -> int:
        """Run a module in a forked process, to its end.

        Args:
            command: the module and its arguments.
            errors: the file that gets what it writes to its standard error.
            variables: its environment, all of it.
            timeout: seconds after which it is killed.

        Returns:
            Its exit status, negative if a signal ended it.

        Raises:
            subprocess.TimeoutExpired: it took longer.
            OSError, EOFError: there is no server any more; the work was not begun.
        """
        end = time.monotonic() + timeout
        order = {
            "command": list(command),
            "errors": errors,
            "variables": dict(variables),
            "folder": os.getcwd(),
        }
        self.connection.send_bytes(json.dumps(order).encode())
        pid = self._answer(end)
        if pid is None:
            raise subprocess.TimeoutExpired(list(command), timeout)
        try:
            status = self._answer(end)
        except (OSError, EOFError):  # somebody killed the server in the middle of it
            status = -signal.SIGKILL
        except BaseException:  # Ctrl-C
            _kill(pid)
            raise
        if status is None or status == -signal.SIGKILL:
            _kill(pid)
        if status is None:
            raise subprocess.TimeoutExpired(list(command), timeout)
        return status

    def end(self) -> None:
        """End the server."""
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def _answer(self, end: float) -> int | None:
        """Return the number that it sends, or `None` if there is none in time."""
        if not self.connection.poll(max(0.0, end - time.monotonic())):
            return None
        return int(self.connection.recv_bytes())


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


_servers: dict[tuple[str, str], ForkServer] = {}
_lock = threading.Lock()


def run(
    command: Sequence[str],
    errors: str,
    variables: Mapping[str, str],
    timeout: float,
    library: str,
) -> int | None:
    """Run a module in a process forked from one that has imported `library`.

    The server is kept for the next. See `ForkServer.run` for the arguments.

    Returns:
        The exit status, or `None` where no server is to be had: it is busy for another thread, does
        not start, or this platform has none.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    if not AVAILABLE or not _lock.acquire(blocking=False):
        return None
    key = library, variables.get("KERAS_BACKEND", "")  # what is read at an import
    try:
        for _ in range(2):  # one that was there may have ended, being idle
            if key not in _servers:
                _servers[key] = ForkServer(library, variables)
            try:
                return _servers[key].run(command, errors, variables, timeout)
            except (OSError, EOFError):
                _servers.pop(key).end()
        return None
    except BaseException:  # it may be in the middle of something
        if key in _servers:
            _servers.pop(key).end()
        raise
    finally:
        _lock.release()


@atexit.register
def end_all() -> None:
    """End all servers."""
    while _servers:
        _servers.popitem()[1].end()


def _forget() -> None:
    """Leave the servers to the process that was forked: its copy cannot speak with them, too."""
    global _lock
    _lock = threading.Lock()
    for server in _servers.values():
        server.connection.close()
        server.process.returncode = 0  # so that nobody here waits for it
    _servers.clear()


if AVAILABLE:
    os.register_at_fork(after_in_child=_forget)


def _serve(library: str, connection: Connection) -> None:
    """Fork a process for each order that comes, until none comes any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the work; who asked ends this
    importlib.import_module(library)
    while connection.poll(_IDLE):
        order = json.loads(connection.recv_bytes())
        pid = os.fork()
        if not pid:
            connection.close()
            _work(**order)
        connection.send_bytes(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        connection.send_bytes(str(os.waitstatus_to_exitcode(status)).encode())


def _work(command: Sequence[str], errors: str, variables: Mapping[str, str], folder: str) -> None:
    """Be the process that does it; never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        written = os.open(errors, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(written, sys.stderr.fileno())
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)
        sys.argv = list(command)
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)  # what is imported has nothing to tidy up, and takes its time for that


if __name__ == "__main__":
    with suppress(EOFError, OSError):  # who asked is gone
        _serve(sys.argv[1], Connection(int(sys.argv[2])))
