"""Figures, the pace of a loop, and what the console writes."""

from __future__ import annotations

import io

import pytest

from lib.pipeline import figures
from lib.pipeline.console import Console, Pace
from lib.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at(done: float, total: float | None = 100, note: str = "") -> Progress:
    return Progress("train", done, total, "steps", note)


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1m 00s"), (3599, "59m 59s"), (7325, "2h 02m")],
)
def test_durations(seconds: float, wanted: str) -> None:
    assert figures.duration(seconds) == wanted


@pytest.mark.parametrize(
    ("count", "wanted"), [(0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (538_090_408, "538 MB"), (16e9, "16.0 GB")]
)
def test_sizes(count: int, wanted: str) -> None:
    assert figures.size(count) == wanted


def test_highlights_puts_what_people_look_for_first() -> None:
    metrics = {"a": 1.0, "acc_code": 0.73111, "b": None, "rows": 30412, "size_bytes": 538e6, "usd": 0.5, "z": 1}
    assert figures.highlights(metrics) == "acc_code 0.731 · rows 30,412 · size 538 MB · a 1"
    assert figures.metric("judge_usd", 12.3) == "$12.30"


def test_pace_counts_from_where_a_resumed_loop_began() -> None:
    pace = Pace(at(40), 0.0)
    assert pace.line(at(40), 0.0) == ""
    assert pace.line(at(60, note="loss 1.2"), 10.0) == "2 steps/s · 20 s left · loss 1.2"
    assert pace.line(at(60, total=None), 10.0) == "2 steps/s"


def test_plain_progress_is_throttled() -> None:
    clock, stream = Clock(), io.StringIO()
    console = Console(stream, every_s=10, clock=clock)
    console.event("run", "phase1a_base_training:train", "never finished")
    for second in range(25):
        clock.now = 101.0 + second
        console.progress("phase1a_base_training:train", at(second * 2))
    console.event("done", "phase1a_base_training:train", "25 s")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "run    phase1a_base_training:train          never finished"
    said = [line.split("train ")[2] for line in lines[1:-1]]
    assert said == ["18 of 100 steps · 2 steps/s · 41 s left", "38 of 100 steps · 2 steps/s · 31 s left"]
    assert lines[-1].startswith("done ")


def test_a_loop_that_begins_again_has_a_pace_of_its_own() -> None:
    clock, stream = Clock(), io.StringIO()
    console = Console(stream, every_s=10, clock=clock)
    for now, done in ((0, 0), (10, 100), (500, 0), (510, 20)):  # the second round begins after 490 s of something else
        clock.now = 101.0 + now
        console.progress("a:b", at(done))
    assert stream.getvalue().splitlines()[-1].endswith("20 of 100 steps · 2 steps/s · 40 s left")


def test_a_terminal_shows_the_latest_round_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(Terminal())
    for done in (0, 100, 0, 20):
        console.progress("a:b", at(done))
    assert [(row.completed, row.visible) for row in console._bar.tasks] == [(100, False), (20, True)]
    console.end_loops()


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    console = Console(stream)
    console.event("run", "a:b")
    console.progress("a:b", at(1))
    console.progress("a:b", at(50, note="loss 2.5"))
    console.end_loops()
    shown = stream.getvalue()
    assert shown.startswith("\x1b[36mrun   \x1b[0m a:b")
    assert "50/100" in shown and "loss 2.5" in shown and "  train" in shown
    console.event("done", "a:b")
    assert stream.getvalue().endswith("a:b\n")
