"""Processes that take turns: one computes, and the others wait at their standard input.

Two frameworks in one process would fight for its threads, and two processes at one time for the
cores. So every contender is a process of its own. It prepares, says what it is, and then obeys
lines such as "steps 10": do this ten times, and answer with the seconds that it took. The command
"steps" is the training itself; further ones are the contender's.

This file needs the standard library alone: the contenders may run in different environments.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Contender:
    """A process that obeys, seen from the one that commands.

    Args:
        command: starts it; it calls `Turns` once it is ready.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # `close` closes it
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
        )

    def tell(self, command: str, count: int) -> None:
        """Have it do something `count` times; it answers later."""
        try:
            self._process.stdin.write(f"{command} {count}\n")  # type: ignore[union-attr]
        except BrokenPipeError:
            self._fail()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer: the facts that it begins with, or the seconds of a command."""
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            self._fail()
        return json.loads(line)

    def ask(self, command: str, count: int) -> dict[str, Any]:
        """Have it do something `count` times, and wait for the seconds."""
        self.tell(command, count)
        return self.answer()

    def close(self) -> None:
        """End it."""
        self._process.kill()  # it has nothing to keep
        self._process.communicate()
        self._errors.close()

    def _fail(self) -> None:
        self._errors.seek(0)
        raise SystemExit(
            f"a contender ended too early: {self._process.args!r}\n{self._errors.read()[-4000:]}"
        )


class Turns:
    """The commands that a contender obeys, seen from inside it.

    Args:
        facts: what it is, which it says at once.
        actions: name -> a function that does so many of something, for commands besides "steps".
    """

    def __init__(
        self, facts: Mapping[str, Any], actions: Mapping[str, Callable[[int], None]]
    ) -> None:
        self._actions = actions
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
        self._answers.write(json.dumps(facts) + "\n")

    def begin(self) -> int:
        """Wait for the next turn; return the number of its steps, with the clock running."""
        for line in iter(sys.stdin.readline, ""):
            command, count = line.split()
            self._started = time.perf_counter(), time.process_time()
            if command == "steps":
                return int(count)
            self._actions[command](int(count))
            self.end()
        raise SystemExit  # nobody commands any more

    def end(self) -> None:
        """Answer with the time since the beginning: on the wall, and on all cores together."""
        wall, cores = self._started
        times = {
            "seconds": time.perf_counter() - wall,
            "core_seconds": time.process_time() - cores,
        }
        self._answers.write(json.dumps(times) + "\n")
