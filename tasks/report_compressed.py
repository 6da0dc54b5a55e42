"""Phase 2's files for the report: what was compressed, what each file is worth, its types, AWQ. None: not built yet."""

from __future__ import annotations

from typing import Any

from lib.report import checks, frontier, frontier_plot, pruned, release, tensor_types
from lib.report.frontier import Measured
from lib.report.headline import Tile
from lib.report.markup import Html, join, table, tag
from lib.report.page import Section, part
from lib.report.source import Source
from lib.report.view import View
from tasks import report_shrunk

PHASE, TITLE = "phase2_compress", "released file"
PARENT, FRONTIER, GRID, RELEASE = (f"{PHASE}:{name}" for name in ("parent", "frontier", "grid", "release"))
FILES, AWQ, DIVERGENCE = (f"{PHASE}:{name}/" for name in ("gguf", "awq", "divergence"))


def sections(view: View) -> list[Section]:
    """The files and the choice; pruning and recovery; packs; confidence."""
    files = Section("compressed", "Compressed", "Compressed: what each file is worth", _files(view), (PARENT, FRONTIER))
    return [files, *report_shrunk.sections(view)]


def tile(view: View) -> Tile:
    """The file that is released, for the top of the page."""
    found, source = view.json(FRONTIER, "frontier.json"), view.metrics(FRONTIER)
    if found is None or source is None:
        return TITLE, "–", "not built yet"
    return TITLE, *release.tile(found, source)


def _files(view: View) -> Html | None:
    """The choice once it is made; types, grid and AWQ as soon as they are there."""
    parent = view.metrics(PARENT)
    if parent is None:
        return None
    taken = "the model taught on its failures" if parent.get("targeted") else "phase 1A's tuned model"
    weights = parent.figure("parameters")
    chosen = _chosen(view)
    return join(
        tag("p", "Compressed is ", parent.link(taken, "targeted"), ", ", weights, " weights.", class_="lead"),
        chosen if chosen is not None else part("Which file is released", None, (FRONTIER,)),
        part("What each tensor really got", _types(view), (f"{FILES}…", GRID)),
        part("AWQ, for GPU servers", _awq(view), (f"{AWQ}…",)),
    )


def _chosen(view: View) -> Html | None:
    found, source = view.json(FRONTIER, "frontier.json"), view.metrics(FRONTIER)
    if found is None or source is None:
        return None
    measured = {one["name"]: _measured(view, one["name"]) for one in found["candidates"]}
    return join(
        release.lead(found, source),
        release.files(view.metrics(RELEASE), found["choice"]),
        frontier_plot.picture(found, source),
        part("Every file that was measured", frontier.candidates(found, source, measured)),
        part("The finalists' answers", release.finalists(found, source)),
        part("The plan's files", frontier.plan(found["plan"], source)),
    )


def _measured(view: View, name: str) -> Measured:
    step = f"{DIVERGENCE}{name.lower()}"
    return Measured(divergence=view.metrics(step), run=view.timings(step))


def _types(view: View) -> Html | None:
    found = {name: _typed(view, step) for name, step in view.under(FILES).items()}
    known = {name: pair for name, pair in found.items() if pair is not None}
    source, found_grid = view.metrics(GRID), view.json(GRID, "grid.json")
    grid = tensor_types.grid(found_grid, source) if source is not None else None
    refused = found_grid["refused"] if found_grid else []
    return join(tensor_types.files(known, refused), grid) if known else grid


def _typed(view: View, step: str) -> tuple[Source, Any] | None:
    source, types = view.metrics(step), view.json(step, "types.json")
    return None if source is None or types is None else (source, types)


def _awq(view: View) -> Html | None:
    found = {name: one for name, one in view.metrics_of(view.under(AWQ)).items() if "awq_size_bytes" in one.values}
    if not found:
        return None
    rows = [
        [name, source.figure("awq_size_bytes"), source.figure("awq_bits_per_weight", lambda bits: f"{bits:.2f}"),
         source.figure("awq_group_size"), *pruned.divergence(view.metrics(f"{DIVERGENCE}awq-{name}"))]
        for name, source in found.items()
    ]  # fmt: skip
    held = [checks.StepGates(source, view.gates(source.step)) for source in found.values()]
    sizes = table(("4-bit folder of", "#bytes", "#bits a weight", "#weights in a group", *pruned.DIVERGENCE), rows)
    said = "Reloaded in a fresh process, and its scales folded into plain weights, it must say what it said before:"
    return join(sizes, tag("p", said), checks.gates(held))
