"""Phases 1C and 1D for the report: who taught, what was learnt, what it was worth. None: not built yet."""

from __future__ import annotations

from pathlib import Path

from lib.figures import dollars
from lib.report import accuracy, answers, checks, curves, distilled, exports
from lib.report.markup import Html, join, tag
from lib.report.page import Section, part
from lib.report.source import ABSENT, Source
from lib.report.view import View
from lib.teach.costs import costs, render
from lib.teach.ledger import NAME

HEADLINE = {"taught on failures": "phase1c_targeted_distillation:evaluate/targeted"}
"""What the chart at the top of the page shows besides phase 1A's models."""
BASE, PARENT = "phase1c_targeted_distillation", "phase1a_base_training:evaluate/tuned"
TEACH, DRAW, COMPARE = f"{BASE}:teach", f"{BASE}:draw", f"{BASE}:compare"
GGUF, PARITY = f"{BASE}:gguf", f"{BASE}:parity"
NAMES = {"targeted": "taught on failures", "control": "taught at random", "second": "failures, second seed"}
MODELS = {"tuned (1A)": PARENT, **{name: f"{BASE}:evaluate/{run}" for run, name in NAMES.items()}}
TRAININGS = {name: f"{BASE}:train/{run}" for run, name in NAMES.items()}
TENSORS = {name: f"{BASE}:render/{name}" for name in ("targeted", "control")}
SIDES = {
    "gain": "taught on failures − tuned", "above_control": "taught on failures − at random",
    "control_gain": "at random − tuned", "second_difference": "second seed − first seed",
}  # fmt: skip


def sections(view: View, cache: Path) -> list[Section]:
    """Rows and their teachers; then curves, differences, retained answers and files."""
    return [
        Section("teachers", "Teachers", "Who taught what was wrong", _teachers(view, cache), (TEACH,)),
        Section("distilled", "Distilled", "Targeted distillation", _results(view), (COMPARE,)),
    ]


def headline(view: View) -> Html | None:
    """The phase's verdict in a sentence, for the top of the page."""
    compared = view.metrics(COMPARE)
    return None if compared is None else _said(compared)


def files(view: View) -> str | None:
    """The step whose files a user takes where this phase's model was adopted, else None: the parent's are better."""
    compared = view.metrics(COMPARE)
    return GGUF if compared is not None and compared.get("adopted") else None


def _said(compared: Source) -> Html:
    return tag("p", compared.link(distilled.sentence(compared.values), "adopted"), class_="lead")


def _teachers(view: View, cache: Path) -> Html | None:
    taught, found = view.metrics(TEACH), view.json(TEACH, "teachers.json")
    if taught is None or found is None:
        return None
    timings = view.timings(TEACH)
    spent = timings.figure("usd", dollars) if timings is not None else join(ABSENT)
    rows = distilled.made(taught, view.metrics(DRAW), view.metrics_of(TENSORS), spent)
    return join(
        part("Teachers and their terms", distilled.teachers(found, taught)),
        part("The rows, and the control's", rows),
        part("The ledger, as doit cost prints it", distilled.ledger(render(costs(cache / NAME)))),
    )


def _results(view: View) -> Html | None:
    compared, models = view.metrics(COMPARE), view.metrics_of(MODELS)
    if compared is None:
        return None
    domains = accuracy.parts(models)[1:]
    sample = view.json(COMPARE, "comparison.json")
    kinds = sample.get("kinds") if sample else None  # a root of before this was counted has none
    return join(
        _said(compared),
        part("Learning curves", curves.figures(view, TRAININGS), tuple(TRAININGS.values())),
        part("Accuracy on the same test rows", accuracy.chart(models) if models else None, tuple(MODELS.values())),
        part("Paired differences, row by row", checks.verdicts(compared, SIDES, domains, head="difference")),
        part("Right answers by kind of task", distilled.kinds(kinds, NAMES, compared) if kinds else None),
        part("Still right of what the parent got right", distilled.retained(compared)),
        part("The files", _files(view), (GGUF, PARITY)),
        part("Answers before and after", answers.samples(sample["samples"], compared) if sample else None),
    )


def _files(view: View) -> Html | None:
    gguf, parity = view.metrics(GGUF), view.metrics(PARITY)
    if gguf is None:
        return None
    files = [
        exports.File(name=f"{name} GGUF", source=gguf, key=f"{kind}_size_bytes", weights=gguf,
                     bits=f"{kind}_bits_per_weight")
        for kind, name in (("f16", "f16"), ("q8_0", "Q8_0"))
    ]  # fmt: skip
    same = exports.parity(parity, view.gates(PARITY), ("f16", "q8_0")) if parity is not None else None
    return join(exports.sizes(files), same)
