"""What a run shows: one line an event, and a bar for the running step's loops.

On a terminal the loops draw a live bar (rich, loaded when the first bar is drawn); elsewhere, in a log file say, the
same figures come as plain lines, one every few seconds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from lib.pipeline import figures
from lib.progress import Progress

_COLOURS = {"run": "36", "done": "32", "same": "2", "skip": "33", "failed": "31", "stop": "33"}


class Pace:
    """Rate and remaining time of one loop, from its first and its latest event (a resumed loop starts above zero)."""

    def __init__(self, event: Progress, now: float) -> None:
        self.first, self.began, self.last = event.done, now, event.done

    def over(self, event: Progress) -> bool:
        """True when the loop has begun again, as one inside another does: it counts from the start."""
        again = event.done < self.last
        self.last = event.done
        return again

    def rate(self, event: Progress, now: float) -> float | None:
        """Units a second since the first event; None before there is any."""
        gained, took = event.done - self.first, now - self.began
        return gained / took if gained > 0 and took > 0 else None

    def line(self, event: Progress, now: float) -> str:
        """`12.5 rows/s · 3m 20s left · loss 1.2`, with what is known so far."""
        rate = self.rate(event, now)
        parts = [f"{figures.number(rate)} {event.unit}/s"] if rate is not None else []
        if rate is not None and event.total is not None and event.total > event.done:
            parts.append(f"{figures.duration((event.total - event.done) / rate)} left")
        return " · ".join([*parts, *([event.note] if event.note else [])])


class Console:
    """Writes event lines to `stream` and shows progress there; `every_s` throttles the plain lines."""

    def __init__(self, stream: TextIO, *, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.every_s, self.clock = stream, every_s, clock
        self.terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.terminal and not os.environ.get("NO_COLOR")
        self.owner = os.getpid()
        self._bar: Any = None
        self._rows: dict[str, Any] = {}
        self._paces: dict[str, Pace] = {}
        self._spoke = clock()

    def event(self, word: str, name: str, text: str = "") -> None:
        """One line: `done   phase0_dataset:fetch   12 s · rows 30,412`."""
        self.end_loops()
        head = f"{word:<6}"
        if self.colour:
            head = f"\x1b[{_COLOURS.get(word, '0')}m{head}\x1b[0m"
        self.say(f"{head} {name:<36} {text}".rstrip())

    def say(self, text: str) -> None:
        """Plain text on a line of its own."""
        self.stream.write(f"{text}\n")
        self.stream.flush()
        self._spoke = self.clock()

    def progress(self, step: str, event: Progress) -> None:
        """Show one progress event of the running `step`."""
        now = self.clock()
        pace = self._pace(event, now)
        if self.terminal and os.getpid() == self.owner:  # a worker of `doit -n` has no terminal of its own
            self._draw(event, pace.line(event, now))
        elif now - self._spoke >= self.every_s:
            total = f" of {figures.number(event.total)}" if event.total is not None else ""
            done = f"{event.label} {figures.number(event.done)}{total} {event.unit}"
            self.say(f"…      {step:<36} {done} · {pace.line(event, now)}".rstrip(" ·"))

    def _pace(self, event: Progress, now: float) -> Pace:
        pace = self._paces.setdefault(event.label, Pace(event, now))
        if pace.over(event):
            pace = self._paces[event.label] = Pace(event, now)
            if event.label in self._rows:
                self._bar.update(self._rows.pop(event.label), visible=False)
        return pace

    def end_loops(self) -> None:
        """Take the bar away; the next loop starts a new one."""
        self._paces.clear()
        self._rows.clear()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, event: Progress, pace: str) -> None:
        if self._bar is None:
            self._bar = _make_bar(self.stream)
            self._bar.start()
        if event.label not in self._rows:
            for row in self._bar.tasks:
                row.visible = row.visible and not row.finished  # a new loop takes a finished one's place
            self._rows[event.label] = self._bar.add_task(event.label, total=event.total, pace="")
        self._bar.update(self._rows[event.label], completed=event.done, total=event.total, pace=pace)


def _make_bar(stream: TextIO) -> Any:
    from rich import progress
    from rich.console import Console as RichConsole

    return progress.Progress(
        progress.TextColumn("       {task.description}"),
        progress.BarColumn(bar_width=28),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[pace]}", markup=False),
        progress.TimeElapsedColumn(),
        console=RichConsole(file=stream),
        transient=True,
        refresh_per_second=4,
    )


_console: Console | None = None


def current() -> Console:
    """This process's console, on standard output unless `use` chose another."""
    return _console if _console is not None else use(Console(sys.stdout))


def use(console: Console) -> Console:
    """Make `console` the one that later events go to."""
    global _console
    _console = console
    return console
