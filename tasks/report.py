"""The report's page: gathers what a root holds, finished or not, and has it drawn (lib/report)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.figures import duration, size
from lib.pipeline.graph import Graph
from lib.pipeline.pages import nodes, state
from lib.pipeline.plan import Row
from lib.report import checks, dag_svg, headline, page, steps, targets
from lib.report.dag import STATES
from lib.report.markup import Html, join, tag
from lib.report.page import Section
from lib.report.source import Source
from lib.report.view import View
from tasks import report_compressed, report_distilled, report_failures, report_models, report_rows
from tasks.report_models import COMPARE, GGUF, MODELS

TARGETS = "targets.toml"
SMOKE = (
    "Smoke profile: a two-layer toy model checks the plumbing. Nothing on this page is a claim about quality or speed."
)


LOCKS = (
    "Each figure above leads here: to the numbers its step wrote and to the lock that says what the step read, "
    "which code it ran and under which parameters."
)


def render(graph: Graph, rows: Sequence[Row], profile: str) -> str:
    """The page for a root in whatever state it is; `rows` are the plan's. Raises DataError for a broken file."""
    built = {row.step: graph.folder(graph[row.step]) for row in rows if row.last is not None}
    stale = {row.step for row in rows if row.verdict != "same"}
    view = View(built, stale)
    facts = [_facts(graph, row, stale) for row in rows]
    sections = [
        Section("graph", "Graph", "The graph of steps", _graph(graph, rows), intro=_counted(facts)),
        report_rows.section(view),
        *report_models.results(view),
        report_failures.section(view),
        *report_distilled.sections(view, graph.cache),
        *report_compressed.sections(view),
        Section("targets", "Targets", "Targets of the original plan", _targets(view, built)),
        Section("gates", "Gates", "Gates: what had to hold", _gates(view, graph, rows)),
        *report_models.said(view),
        Section("steps", "Steps", "Steps", steps.steps(facts)),
        Section("locks", "Locks", "Locks", steps.locks(facts) if built else None, intro=LOCKS),
    ]
    head = _headline(view, profile, facts)
    return page.page(title="Cogumi", badges=_badges(profile, rows), head=head, sections=sections)


def _badges(profile: str, rows: Sequence[Row]) -> list[str]:
    seeds = sorted({row.last.seed for row in rows if row.last is not None and row.last.seed is not None})
    shown = f"one seed: {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}" if seeds else ""
    commits = {row.last.commit[:10] for row in rows if row.last is not None and row.last.commit}
    return [f"profile {profile}", *filter(None, [shown]), *(f"commit {one}" for one in commits if len(commits) == 1)]


def _headline(view: View, profile: str, facts: Sequence[steps.StepFacts]) -> Html:
    compared, files = view.metrics(COMPARE), view.metrics(report_distilled.files(view) or GGUF)
    tiles: list[headline.Tile] = [_file_tile(files, kind, name) for kind, name in (("q8_0", "Q8_0"), ("f16", "f16"))]
    tiles.append(report_compressed.tile(view))
    took = [fact.took for fact in facts if fact.took is not None]
    seconds, usd = (sum(one.get(key) or 0 for one in took) for key in ("seconds", "usd"))
    current = sum(fact.state == "same" for fact in facts)
    all_steps = tag("a", duration(seconds) if took else "–", href="#steps", class_="n")
    tiles.append(("time of all steps", all_steps, f"${usd:.2f} spent" if took else "nothing has run"))
    counted = tag("a", f"{current} of {len(facts)}", href="#graph", class_="n")
    tiles.append(("steps up to date", counted, _failed(facts)))
    return headline.headline(
        notice=SMOKE if profile == "smoke" else None, compared=compared,
        needs=(COMPARE,), models=view.metrics_of(MODELS | report_distilled.HEADLINE), tiles=tiles,
        further=report_distilled.headline(view),
    )  # fmt: skip


def _failed(facts: Sequence[steps.StepFacts]) -> str:
    failed = sum(fact.state == "failed" for fact in facts)
    return f"{failed} failed last time" if failed else "none failed last time"


def _file_tile(files: Source | None, kind: str, name: str) -> headline.Tile:
    title = f"{name} GGUF file"
    if files is None:
        return title, "–", "not built yet"
    bits = files.figure(f"{kind}_bits_per_weight", lambda value: f"{value:.2f}")
    return title, files.figure(f"{kind}_size_bytes", size), join(bits, " bits a weight")


def _counted(facts: Sequence[steps.StepFacts]) -> str:
    counts = {words: sum(fact.state == key for fact in facts) for key, (_, words) in STATES.items()}
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count) + "."


def _graph(graph: Graph, rows: Sequence[Row]) -> Html:
    return tag("div", dag_svg.picture(nodes(graph, rows)), class_="scroll picture")


def _facts(graph: Graph, row: Row, stale: set[str]) -> steps.StepFacts:
    step, lock = graph[row.step], row.last
    where = {"name": step.name, "doc": step.doc, "state": state(graph, row), "why": row.why}
    if lock is None:
        return steps.StepFacts(**where)
    took = {"seconds": lock.seconds, "peak_rss_bytes": lock.peak_rss_bytes, "usd": lock.usd, "size_bytes": lock.size}
    files = {path.name: path for path in (graph.lock(step), graph.timings(step))}
    files = {"metrics.json": graph.outputs(step)["metrics"], **files}
    shown = {name: path for name, path in files.items() if path.is_file()}
    listed = {**shown, "gates.json": graph.outputs(step)["gates"], "log.txt": graph.log(step)}
    return steps.StepFacts(
        **where, device=lock.device, took=Source(step.name, took, step.name in stale),
        texts={name: path.read_text(encoding="utf-8", errors="replace") for name, path in shown.items()},
        links={name: f"../{path.relative_to(graph.root)}" for name, path in listed.items() if path.is_file()},
    )  # fmt: skip


def _targets(view: View, built: dict[str, Path]) -> Html:
    source, found = targets.load(Path(__file__).with_name(TARGETS))
    sources = {step: numbers for step in built if (numbers := view.metrics(step)) is not None}
    return join(tag("p", f"From {source}. Figures beside them come from this root.", class_="intro"),
                targets.shown(found, sources))  # fmt: skip


def _gates(view: View, graph: Graph, rows: Sequence[Row]) -> Html | None:
    found = []
    for row in rows:
        if (numbers := view.metrics(row.step)) is not None and (passed := view.gates(row.step)):
            found.append(checks.StepGates(numbers, passed))
        if state(graph, row) == "failed" and (failed := _failed_gates(graph, row)):
            found.append(checks.StepGates(Source(row.step, {}), failed, failed=True))
    return checks.gates(found) if found else None


def _failed_gates(graph: Graph, row: Row) -> dict[str, Any] | None:
    """Gates of a run that ended on them; the kit leaves them in the work folder."""
    folder = graph.work(graph[row.step])
    return View({row.step: folder}, set()).json(row.step, "gates.json")
