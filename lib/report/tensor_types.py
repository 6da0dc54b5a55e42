"""What each tensor of a quantised file really got, and what the student's grid makes of the types."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from lib.compress.types import RoleRow, TypesReport, by_role
from lib.figures import number
from lib.report.markup import Child, Html, join, table, tag
from lib.report.source import ABSENT, Source, percent

_KEPT = "kept_delta_"


def files(found: Mapping[str, tuple[Source, Any]], refused: Collection[str]) -> Html:
    """A row a file with its fallbacks counted; its tensors by role, folded. name -> (metrics, content of its types).

    `refused` are the types of the student's grid.
    """
    head = ("file", "#bits a weight", "#matrices", "#fell back", "fell back from", "#on the student's grid")
    read = {name: (source, msgspec.convert(types, TypesReport)) for name, (source, types) in found.items()}
    rows = [_file(name, source, types, refused) for name, (source, types) in read.items()]
    return join(table(head, rows), [_roles(name, source, types) for name, (source, types) in read.items()])


def _file(name: str, source: Source, types: TypesReport, refused: Collection[str]) -> list[Child]:
    fell = {t.wanted: t.got for t in types.tensors if t.fallback}
    lost = sum(t.got in refused for t in types.tensors)
    words = ", ".join(f"{wanted} to {got}" for wanted, got in sorted(fell.items()))
    return [
        name, source.figure("bits_per_weight", lambda bits: f"{bits:.2f}"), source.figure("matrices"),
        source.figure("fallbacks"), words or ABSENT, source.link(number(lost), "types"),
    ]  # fmt: skip


def _roles(name: str, source: Source, types: TypesReport) -> Html:
    rows = by_role(types)
    head = ("tensors", "type", "#count", "#fell back", "wanted", "#weights", "#bytes", "#bits a weight")
    kinds = ", ".join(sorted({row.got for row in rows}))
    return tag("details", tag("summary", name, " ", tag("small", kinds)), table(head, [_role(r, source) for r in rows]))


def _role(row: RoleRow, source: Source) -> list[Child]:
    counts = (row.tensors, row.fell_back), (row.parameters, row.bytes)
    (tensors, fell), (parameters, stored) = ([source.link(number(value), "types") for value in pair] for pair in counts)
    bits = source.link(f"{row.bits_per_weight:.2f}", "types")
    return [row.role, row.got, tensors, fell, ", ".join(row.wanted) or ABSENT, parameters, stored, bits]


def grid(found: Mapping[str, Any] | None, source: Source) -> Html:
    """On which type's grid the student lies, which types that rules out, and what each type keeps of the training."""
    if found is None:
        said: Child = "The student lies on the grid of no type, so none is refused."
    else:
        share = source.link(percent(found["share"]), "on_grid_share")
        said = [share, " of ", source.link(number(found["blocks"]), "on_grid_share"), " blocks of the student are "
                f"exactly what {found['kind']} can hold: {' and '.join(found['refused'])} would round what training "
                "changed by a rule and not by chance, so a file with such tensors is refused."]  # fmt: skip
    kinds = [key for key in source.values if key.startswith(_KEPT)]
    rows = [[key.removeprefix(_KEPT).upper(), source.figure(key, lambda share: f"{share:.3f}")] for key in kinds]
    note = "What is left of the weights' change by training once they are rounded (1: all of it, on average)."
    return join(tag("p", said), tag("p", note, class_="intro"), table(("type", "#kept of the change"), rows))
