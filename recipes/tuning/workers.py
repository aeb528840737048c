"""Several processes at one search: KerasTuner's oracle in this one, and its workers beside it.

KerasTuner's own chief waits for ever for a worker that was killed. Here such a worker is started
anew under its own name, and is given the trial that it was at; one that cannot live is struck off.
"""

import os
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import keras_tuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from zoo.errors import CheckFailed

_LOOPBACK = "127.0.0.1"
_FOLLOWS = "ZOO_WORKER_FOLLOWS"  # set for a worker whose standard input is a pipe from its chief
_LIVES = 3  # starts of a worker
_POLL = 0.2  # seconds
_PATIENCE = 20  # seconds that a worker has to leave


def is_worker() -> bool:
    """Return whether KerasTuner's variables make this process the worker of some chief."""
    name = os.environ.get("KERASTUNER_TUNER_ID", "")
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" not in name


def follow_chief() -> None:
    """Have a worker that `run_workers` started end with the process that did.

    It would wait an hour for its answer. The pipe to it closes when that process is gone, however.
    """
    if _FOLLOWS in os.environ:
        threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


def run_workers(oracle: keras_tuner.Oracle, count: int, folder: Path) -> None:
    """Have so many processes run the trials that an oracle asks for, until there are no more.

    Args:
        oracle: that they ask, on a port of this machine alone.
        count: number of processes.
        folder: of the search; each writes what it says to `worker-N.log` there.

    Raises:
        CheckFailed: every worker died again and again.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    service = protos.get_service_grpc()
    service.add_OracleServicer_to_server(OracleServicer(oracle), server)
    port = server.add_insecure_port(f"{_LOOPBACK}:0")
    server.start()
    workers = [_Worker(f"worker-{number}", port, folder) for number in range(count)]
    try:
        for worker in workers:
            worker.start()
        while any(worker.running for worker in workers):
            time.sleep(_POLL)
            for worker in workers:
                worker.revive(oracle)
    finally:
        for worker in workers:
            worker.end()
        server.stop(None)
    if all(worker.lost for worker in workers):
        raise CheckFailed(f"every worker died {_LIVES} times: see {folder / 'worker-0.log'}.")


class _Worker:
    """A process that runs trials, and its lives."""

    def __init__(self, name: str, port: int, folder: Path) -> None:
        self.name, self.folder, self.lives, self.lost = name, folder, _LIVES, False
        self.place = {
            "KERASTUNER_ORACLE_IP": _LOOPBACK,
            "KERASTUNER_ORACLE_PORT": str(port),
            "KERASTUNER_TUNER_ID": name,
            _FOLLOWS: "1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.lives -= 1
        command = [sys.executable, "-m", "zoo", "tune", "--resume", "--out", str(self.folder)]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=os.environ | self.place,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def revive(self, oracle: Any) -> None:
        """Start it again if it died, or strike it off."""
        if self.lost or self.process is None or self.process.poll() in (None, 0):
            return
        if self.lives:
            self.start()
            return
        self.lost = True
        trial = oracle.ongoing_trials.get(self.name)
        if trial is not None:  # nobody else shall wait for it
            trial.status = TrialStatus.FAILED
            trial.message = f"{self.name} died {_LIVES} times: see {self.name}.log"
            oracle.end_trial(trial)
        oracle.tuner_ids.discard(self.name)

    def end(self) -> None:
        if self.process is None or not self.running:
            return
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
