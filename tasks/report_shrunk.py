"""Phase 2 for the report, beside its files: pruning and recovery, packs, confidence. None: not built yet."""

from __future__ import annotations

from lib.report import confidence, curves, packs, pruned
from lib.report.frontier import Measured
from lib.report.markup import Html, join, tag
from lib.report.packs import Packed
from lib.report.page import Section, part
from lib.report.source import Source
from lib.report.view import View

PHASE = "phase2_compress"
SENSITIVITY, GRADUAL, COMPARED = (f"{PHASE}:{name}" for name in ("sensitivity", "prune/gradual", "pack-table"))
LEARNT, JUDGED, CALIBRATE = (f"{PHASE}:{name}" for name in ("recover/learn", "recover/judge", "calibrate"))
PRUNED, BEST, FOLDERS = (f"{PHASE}:{name}/" for name in ("prune", "best", "divergence"))
PACKS, UNPACKED = f"{PHASE}:pack/", f"{PHASE}:unpack/"


def sections(view: View) -> list[Section]:
    """Three sections, each as far as its steps have run."""
    return [
        Section("pruned", "Pruned", "Pruned, and recovered", _pruned(view), (SENSITIVITY, f"{PRUNED}…")),
        Section("packs", "Packs", "Packed for download", _packs(view), (f"{PACKS}…",)),
        Section("confidence", "Confidence", "How far a confidence can be believed", _confidence(view), (CALIBRATE,)),
    ]


def _pruned(view: View) -> Html | None:
    names = view.under(PRUNED)
    if not names and view.metrics(SENSITIVITY) is None:
        return None
    found = {name: (source, _measured(view, name)) for name, source in view.metrics_of(names).items()}
    return join(
        part("One method and shape a row", pruned.variants(found, _best(view)) if found else None, (f"{PRUNED}…",)),
        part("The gradual schedule", _stages(view), (GRADUAL,)),
        part("What each layer loses", _sensitivity(view), (SENSITIVITY,)),
        part("Recovery on the hardest rows", _recovered(view), (LEARNT, JUDGED)),
    )


def _measured(view: View, variant: str) -> Measured:
    return Measured(divergence=view.metrics(f"{FOLDERS}{variant}"))


def _best(view: View) -> dict[str, list[str]]:
    """Variant -> the shapes whose files are made of it."""
    found: dict[str, list[str]] = {}
    for shape, step in view.under(BEST).items():
        if (choice := view.json(step, "choice.json")) is not None:
            found.setdefault(choice["best"], []).append(shape)
    return found


def _stages(view: View) -> Html | None:
    found, source = view.json(GRADUAL, "stages.json"), view.metrics(GRADUAL)
    return None if found is None or source is None else pruned.stages(found, source)


def _sensitivity(view: View) -> Html | None:
    found, source = view.json(SENSITIVITY, "curves.json"), view.metrics(SENSITIVITY)
    return None if found is None or source is None else pruned.sensitivity(found, source)


def _recovered(view: View) -> Html | None:
    learnt = view.metrics(LEARNT)
    if learnt is None:
        return None
    return join(pruned.recovered(learnt, view.metrics(JUDGED)), curves.figures(view, {"recovery": LEARNT}))


def _packs(view: View) -> Html | None:
    sources, compared = view.metrics_of(view.under(PACKS)), view.metrics(COMPARED)
    if not sources:
        return None
    found = {name: _packed(view, name, sources) for name in sources}
    return join(packs.goals(compared) if compared is not None else None, packs.shown(found))


def _packed(view: View, name: str, sources: dict[str, Source]) -> Packed:
    """The dense file of the same type is called by the type alone: "q8_0" of "50-q8_0"."""
    model, _, kind = name.rpartition("-")
    unpacked, same = view.metrics(f"{UNPACKED}{name}"), view.gates(f"{UNPACKED}{name}").get("unpacked_identical")
    return Packed(
        source=sources[name], timings=view.timings(f"{PACKS}{name}"), dense=sources.get(kind) if model else None,
        identical=(unpacked, same["passed"]) if unpacked is not None and same else None,
    )  # fmt: skip


def _confidence(view: View) -> Html | None:
    source = view.metrics(CALIBRATE)
    if source is None:
        return None
    found = view.json(CALIBRATE, "calibration.json")
    if found is None:
        return confidence.nothing(source)
    pictures = tag("div", confidence.reliability(found, source), confidence.selective(found, source), class_="pair")
    return join(
        confidence.lead(source), pictures, part("Every map", confidence.maps(found, source)),
        part("The surest answers", confidence.coverage(found, source)),
    )  # fmt: skip
