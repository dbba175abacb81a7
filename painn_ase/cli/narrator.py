"""What the commands tell of long work: a bar with the time left on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time as clock
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

__all__ = ["TerminalNarrator"]

#: Seconds between plain lines where there is no terminal.
_QUIET = 30.0


class TerminalNarrator:
    """Tells of progress on standard error; see :class:`painn_ase.workflow.Narrator`."""

    def __init__(self) -> None:
        self.fancy = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """One line of news."""
        typer.echo(text, err=True)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """A stage: a bar on a terminal, a line now and then in a log."""
        if self.fancy:
            from painn_ase.md import ProgressBar

            with ProgressBar(total, label) as progress:
                yield _Throttled(progress.show, 0.2, total)
            return
        started = clock.monotonic()

        def line(done: int, note: str) -> None:
            spent = clock.monotonic() - started
            left = "" if not done else f", {spent / done * (total - done):.0f} s left"
            typer.echo(f"{label}: {done}/{total}, {note}{left}", err=True)

        typer.echo(f"{label}: {total} steps", err=True)
        yield _Throttled(line, _QUIET, total)
        typer.echo(f"{label}: {clock.monotonic() - started:.1f} s", err=True)


class _Throttled:
    """Passes on only what comes at least some seconds after the last."""

    def __init__(self, show: Callable[[int, str], None], seconds: float, total: int) -> None:
        self._show, self._seconds, self._total = show, seconds, total
        self._next = clock.monotonic() + seconds

    def __call__(self, done: int, note: str) -> None:
        if clock.monotonic() >= self._next:
            self._next = clock.monotonic() + self._seconds
            self._show(done, note)
