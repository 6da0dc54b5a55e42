"""Which compressed file is released and why: the verdict in a sentence, and what the finalists' answers were worth.

Records are those of the table that lib.compress.frontier_variants writes; a NaN or infinity in it is None here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.figures import number, size
from lib.report.markup import Child, Html, table, tag
from lib.report.source import ABSENT, Source, interval, percent

Record = Mapping[str, Any]
_SIZES = ("_bytes", "_packed_bytes")


def sentence(found: Record, numbers: Mapping[str, Any]) -> str:
    """Which file is released and which is mobile, what they are worth, and how they stand to llama.cpp's own types."""
    by_name = {one["name"]: one for one in found["candidates"]}
    kept = {one["name"]: one for one in found["accuracies"]}
    release, mobile = found["choice"]["release"], found["choice"]["mobile"]
    if release is None:
        said = f"No file is released: {_why_none(found['choice']['verdicts'])}."
    else:
        said = f"Released: {_named(by_name[release])}, {_kept(kept[release])}; {_standing(numbers)}."
    if mobile is None:
        return f"{said} No finalist is small enough to be called mobile."
    if mobile == release:
        return f"{said} It is the mobile file as well."
    return f"{said} Mobile, the best of the small ones: {_named(by_name[mobile])}, {_kept(kept[mobile])}."


def _named(one: Record) -> str:
    origin = "llama.cpp's own type" if one["origin"] == "stock" else "ours"
    bits = f"{one['bits_per_weight']:.2f} bits a weight"
    return f"{one['name']} ({origin}), {number(one['bytes'])} bytes, {bits}, KL {_kl(one)} nats a position"


def _kl(one: Record) -> str:
    return f"{one['kl']:.3g} ({one['low']:.3g}–{one['high']:.3g})"


def _kept(one: Record) -> str:
    kept = one["kept"]
    if kept["value"] is None:
        return "of a parent that gets nothing right"
    share = f"{percent(kept['value'])} ({interval(kept['low'], kept['high'])}, n = {number(kept['n'])})"
    return f"keeping {share} of the parent's verified accuracy"


def _why_none(verdicts: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {verdict}" for name, verdict in verdicts.items()) or "no finalist was judged"


def _standing(numbers: Mapping[str, Any]) -> str:
    """The two goals: dominated by none of llama.cpp's own types, and dominating one at least."""
    above, below, surely = (numbers[f"stock_{key}"] for key in ("dominating", "dominated", "surely_dominated"))
    over = f"{number(above)} of llama.cpp's own types dominate it" if above else "none of llama.cpp's own dominates it"
    return f"{over}, and it dominates {number(below)}{f' ({number(surely)} of them surely)' if below else ''} of those"


def lead(found: Record, frontier: Source) -> Html:
    """The verdict as a paragraph that leads to its lock."""
    return tag("p", frontier.link(sentence(found, frontier.values), "release_chosen"), class_="lead")


def tile(found: Record, frontier: Source) -> tuple[Child, Child]:
    """Size and name of the released file in the fewest words; a dash where there is none."""
    one = next((one for one in found["candidates"] if one["name"] == found["choice"]["release"]), None)
    if one is None:
        return frontier.link(ABSENT, "release_chosen"), "no finalist keeps enough"
    return frontier.link(size(one["bytes"]), "bytes"), f"{one['name']}, {one['bits_per_weight']:.2f} bits a weight"


def files(placed: Source | None, choice: Mapping[str, Any]) -> Html | None:
    """Where the chosen files are, and how small they are packed; nothing while they are not there."""
    rows: list[list[Child]] = [
        [f"phase2/release/files/{role}.gguf", choice[role], *(placed.figure(f"{role}{key}") for key in _SIZES)]
        for role in ("release", "mobile")
        if placed is not None and choice[role] is not None
    ]
    return table(("file", "made as", "#bytes", "#bytes packed for download, .pack"), rows) if rows else None


def finalists(found: Record, frontier: Source) -> Html:
    """Verified answers of those that got so far, in the order in which they were asked."""
    if not found["accuracies"]:
        return tag("p", "No finalist was asked.", class_="absent")
    verdicts = found["choice"]["verdicts"]
    rows = [_finalist(at, one, verdicts, frontier) for at, one in enumerate(found["accuracies"])]
    head = (
        "finalist", "#accuracy", "#kept of the parent's", "#95 % interval", "#n", "#kept of its gain over the student",
        "verdict",
    )  # fmt: skip
    return table(head, rows)


def _finalist(at: int, one: Record, verdicts: Mapping[str, str], frontier: Source) -> list[Child]:
    kept, value = one["kept"], one["value"]
    known = kept["value"] is not None
    return [
        one["name"], frontier.link(ABSENT if value is None else percent(value), "accuracies"),
        frontier.link(percent(kept["value"]) if known else ABSENT, "kept"),
        frontier.link(interval(kept["low"], kept["high"]) if known else ABSENT, "kept"),
        frontier.link(number(kept["n"]), "n"), frontier.figure(f"final_{at}_kept_gain", percent), verdicts[one["name"]],
    ]  # fmt: skip
