"""Phase 2 for the report: what each file is worth, and what pruning, packing and calibrating did. None: not built."""

from __future__ import annotations

from typing import Any

from lib.report import checks, confidence, curves, frontier, frontier_plot, packs, pruned, release, tensor_types
from lib.report.frontier import Measured
from lib.report.markup import Html, join, tag
from lib.report.packs import Packed
from lib.report.page import Section, part
from lib.report.source import Source
from lib.report.view import View

PHASE = "phase2_compress"
PARENT, FRONTIER, GRID, AWQ = (f"{PHASE}:{name}" for name in ("parent", "frontier", "grid", "awq"))
SENSITIVITY, GRADUAL, RECOVER = (f"{PHASE}:{name}" for name in ("sensitivity", "prune/gradual", "recover"))
CALIBRATE = f"{PHASE}:calibrate"
FILES, PRUNED, DIVERGENCE, SPEED = (f"{PHASE}:{name}/" for name in ("gguf", "prune", "divergence", "speed"))
PACKS, UNPACKED = f"{PHASE}:pack/", f"{PHASE}:unpack/"


def sections(view: View) -> list[Section]:
    """The files and the choice; pruning and recovery; packs; confidence."""
    return [
        Section("compressed", "Compressed", "Compressed: what each file is worth", _files(view), (FRONTIER,)),
        Section("pruned", "Pruned", "Pruned, and recovered", _pruned(view), (SENSITIVITY, GRADUAL)),
        Section("packs", "Packs", "Packed for download", _packs(view), (f"{PACKS}…",)),
        Section("confidence", "Confidence", "How far a confidence can be believed", _confidence(view), (CALIBRATE,)),
    ]


def _files(view: View) -> Html | None:
    """The choice once it is made; types, grid and AWQ as soon as they are there."""
    chosen, types, awq = _chosen(view), _types(view), _awq(view)
    if chosen is None and types is None and awq is None:
        return None
    return join(
        chosen if chosen is not None else part("The frontier", None, (FRONTIER,)),
        part("What each tensor really got", types, (f"{FILES}…",)),
        part("AWQ, for GPU servers", awq, (AWQ,)),
    )


def _chosen(view: View) -> Html | None:
    found, source = view.json(FRONTIER, "frontier.json"), view.metrics(FRONTIER)
    if found is None or source is None:
        return None
    measured = {one["name"]: _measured(view, one["name"]) for one in found["candidates"]}
    return join(
        release.lead(found, source),
        frontier_plot.picture(found, source),
        part("Every file that was measured", frontier.candidates(found, source, measured)),
        part("The finalists' answers", release.finalists(found, source)),
        part("The plan's files", frontier.plan(found["plan"], source)),
    )


def _measured(view: View, name: str) -> Measured:
    return Measured(divergence=view.metrics(f"{DIVERGENCE}{name}"), run=view.timings(f"{SPEED}{name}"))


def _types(view: View) -> Html | None:
    found = {name: _typed(view, step) for name, step in view.under(FILES).items()}
    known = {name: pair for name, pair in found.items() if pair is not None}
    source, path = view.metrics(GRID), view.path(GRID, "grid.json")
    grid = tensor_types.grid(view.json(GRID, "grid.json"), source) if source is not None and path is not None else None
    return join(tensor_types.files(known), grid) if known else grid


def _typed(view: View, step: str) -> tuple[Source, Any] | None:
    source, types = view.metrics(step), view.json(step, "types.json")
    return None if source is None or types is None else (source, types)


def _awq(view: View) -> Html | None:
    source = view.metrics(AWQ)
    if source is None:
        return None
    held = checks.gates([checks.StepGates(source, view.gates(AWQ))])
    size = tag(
        "p", source.figure("awq_size_bytes"), " bytes, ",
        source.figure("awq_bits_per_weight", lambda bits: f"{bits:.2f}"), " bits a weight, groups of ",
        source.figure("awq_group_size"), ".",
    )  # fmt: skip
    return join(size, held)


def _pruned(view: View) -> Html | None:
    names = view.under(PRUNED)
    if not names and view.metrics(SENSITIVITY) is None:
        return None
    found = {name: (source, _measured(view, f"prune/{name}")) for name, source in view.metrics_of(names).items()}
    return join(
        part("One method and shape a row", pruned.variants(found) if found else None, (f"{PRUNED}…",)),
        part("The gradual schedule", _stages(view), (GRADUAL,)),
        part("What each layer loses", _sensitivity(view), (SENSITIVITY,)),
        part("Recovery on the hardest rows", _recovered(view), (RECOVER,)),
    )


def _stages(view: View) -> Html | None:
    found, source = view.json(GRADUAL, "stages.json"), view.metrics(GRADUAL)
    return None if found is None or source is None else pruned.stages(found, source)


def _sensitivity(view: View) -> Html | None:
    found, source = view.json(SENSITIVITY, "curves.json"), view.metrics(SENSITIVITY)
    return None if found is None or source is None else pruned.sensitivity(found, source)


def _recovered(view: View) -> Html | None:
    return curves.figures(view, {"recovery": RECOVER})


def _packs(view: View) -> Html | None:
    names = view.under(PACKS)
    sources = view.metrics_of(names)
    found = {name: _packed(view, name, sources) for name in sources}
    return packs.shown(found) if found else None


def _packed(view: View, name: str, sources: dict[str, Source]) -> Packed:
    unpacked, gates = view.metrics(f"{UNPACKED}{name}"), view.gates(f"{UNPACKED}{name}")
    same = gates.get("unpacked_identical")
    return Packed(
        source=sources[name], timings=view.timings(f"{PACKS}{name}"), dense=None,
        identical=(unpacked, same["passed"]) if unpacked is not None and same else None,
    )  # fmt: skip


def _confidence(view: View) -> Html | None:
    found, source = view.json(CALIBRATE, "calibration.json"), view.metrics(CALIBRATE)
    if found is None or source is None:
        return None
    pictures = tag("div", confidence.reliability(found, source), confidence.selective(found, source), class_="pair")
    return join(
        confidence.lead(source), pictures, part("Every map", confidence.maps(found, source)),
        part("The surest answers", confidence.coverage(found, source)),
    )  # fmt: skip
