"""A contender of a benchmark in a process of its own, and the line protocol with it.

A request is one line of JSON on its standard input, an answer one line on the file descriptor that
``--answers`` names: standard output belongs to whatever the libraries print.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Worker"]

HERE = Path(__file__).parent


class Worker:
    """A contender's process.

    Parameters
    ----------
    contender : str
        Its name in tables.
    python : str
        Its interpreter.
    script : str
        In this folder.
    arguments : sequence of str
        Of the script, beside ``--threads`` and ``--answers``.
    threads : int
    """

    def __init__(
        self, contender: str, python: str, script: str, arguments: Sequence[str], threads: int
    ) -> None:
        self.contender = contender
        self.versions: dict[str, str] = {}
        read_end, write_end = os.pipe()
        number = str(threads)
        self._process = subprocess.Popen(
            [
                *(python, str(HERE / script), *arguments),
                *("--threads", number, "--answers", str(write_end)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            pass_fds=(write_end,),
            env={**os.environ, "OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number},
        )
        os.close(write_end)
        self._answers = os.fdopen(read_end)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._answers.readline()
        if not line:
            raise SystemExit(f"{self.contender} stopped with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)
