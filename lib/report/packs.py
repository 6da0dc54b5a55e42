"""Packs for download: bytes by layout and type, what pruning saves in them, how fast they come and go."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from lib.figures import duration, number
from lib.report.checks import mark
from lib.report.markup import Child, Html, join, table, tag
from lib.report.source import ABSENT, Source, percent

_PACKED, _GOAL = "_packed_bytes", "goal_met_"


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """One file in all its packs; `dense` is the same type of the model that was not pruned, packed in the same ways.

    `identical`: the numbers of the step that unpacked it, and whether the same file came out; None: not unpacked yet.
    """

    source: Source
    timings: Source | None = None
    dense: Source | None = None
    identical: tuple[Source, bool] | None = None


def goals(compared: Source) -> Html:
    """For each model, whether all its packs are as much smaller than the dense ones as was promised."""
    told = [
        [key.removeprefix(_GOAL), ": ", compared.link("met" if value else "NOT met", key)]
        for key, value in compared.values.items() if key.startswith(_GOAL)
    ]  # fmt: skip
    parts = [[", " if at else None, one] for at, one in enumerate(told)]
    return tag("p", "Packs of pruned models smaller than the dense one of the same type by as much as promised, in all"
               " types: ", parts or "no pruned model was packed", ".", class_="lead")  # fmt: skip


def shown(found: Mapping[str, Packed]) -> Html:
    """A row for each file and layout, and whether every chosen pack gave its file back."""
    head = (
        "file", "layout", "#bytes before", "#packed", "#share", "#less than the dense pack", "#dictionary",
        "#time to pack", "#unpacked a second",
    )  # fmt: skip
    rows = [_row(name, one, layout) for name, one in found.items() for layout in _layouts(one.source)]
    return join(table(head, rows), _proof(found))


def _layouts(source: Source) -> list[str]:
    return sorted(key.removesuffix(_PACKED) for key in source.values if key.endswith(_PACKED))


def _row(name: str, one: Packed, layout: str) -> list[Child]:
    source, times = one.source, one.timings
    took: list[Child] = [ABSENT, ABSENT]
    if times is not None:
        took = [
            times.figure(f"{layout}_pack_seconds", duration),
            times.figure(f"{layout}_unpack_bytes_per_s", lambda rate: f"{rate / 1e6:,.0f} MB"),
        ]
    return [
        name, layout.replace("_", "-"), source.figure("size_bytes"), source.figure(f"{layout}{_PACKED}"),
        source.figure(f"{layout}_packed_share", percent), _saved(one, layout),
        source.figure(f"{layout}_dictionary_bytes"), *took,
    ]  # fmt: skip


def _saved(one: Packed, layout: str) -> Child:
    """How much smaller this pack is than the dense one's, of the same type and layout."""
    key = f"{layout}{_PACKED}"
    mine, dense = one.source.get(key), one.dense.get(key) if one.dense is not None else None
    return ABSENT if mine is None or not dense else one.source.link(f"{100 * (1 - mine / dense):.1f} %", key)


def _proof(found: Mapping[str, Packed]) -> Html:
    told = {name: one.identical for name, one in found.items() if one.identical is not None}
    parts = [[", " if at else None, name, " ", told[name][0].link(mark(told[name][1]))] for at, name in enumerate(told)]
    waiting = len(found) - len(told)
    rest = f" {number(waiting)} not unpacked yet." if waiting else None
    return tag("p", "Unpacked and held against the file by SHA-256: ", parts or "none", ".", rest)
