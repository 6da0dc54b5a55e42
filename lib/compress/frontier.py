"""Which candidates are worth their bytes: the Pareto set of size against KL, who is dominated by whom, and the choice.

A stock type of llama.cpp and a mix of ours are candidates alike. Dominated is who is beaten in one and not better in
the other; "surely" says that the paired difference on the same text lies wholly on that side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from lib.compress.frontier_measure import Divergence, difference
from lib.compress.gguf_settings import FrontierSettings, Origin
from lib.errors import ConfigError
from lib.evaluate.stats import Rate
from lib.result import Number

Verdict = Literal["kept", "too few answers kept", "not sure enough", "refused"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A file: its bytes, bits a weight, and mean KL to the parent in nats with the 95 % interval.

    `refused` is the reason why it may not be released though it was measured ("": none); the parent itself has KL 0.
    """

    name: str
    origin: Origin
    bytes: int
    bits_per_weight: float
    kl: float
    low: float
    high: float
    refused: str = ""


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """Verified answers of one candidate against its parent's on the same rows: the kept share, with its interval."""

    name: str
    value: float
    kept: Rate


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the release takes: names or None, and for every finalist why it may or may not."""

    release: str | None
    mobile: str | None
    verdicts: dict[str, Verdict]

    def metrics(self) -> dict[str, Number]:
        """1 where something was chosen."""
        return {"release_chosen": int(self.release is not None), "mobile_chosen": int(self.mobile is not None)}


def candidate(
    name: str, origin: Origin, size: tuple[int, float], found: Divergence, settings: FrontierSettings, *,
    seed: int, refused: str = "",
) -> Candidate:  # fmt: skip
    """A candidate from what was measured; `size` is (bytes, bits a weight)."""
    rate = found.interval(seed=seed, resamples=settings.resamples)
    return Candidate(
        name=name, origin=origin, bytes=size[0], bits_per_weight=size[1], kl=rate.value, low=rate.low, high=rate.high,
        refused=refused,
    )  # fmt: skip


def dominates(one: Candidate, other: Candidate) -> bool:
    """No larger and no worse, and better in at least one."""
    as_good = one.bytes <= other.bytes and one.kl <= other.kl
    return as_good and (one.bytes < other.bytes or one.kl < other.kl)


def surely_dominates(one: Candidate, other: Candidate, gap: Rate) -> bool:
    """No larger, and `gap`, the KL of one minus the other's on the same rows, is not above 0 in its whole interval."""
    return dominates(one, other) and gap.high <= 0


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that nobody dominates, smallest first; of equals in both all stay. Sorting makes it n log n."""
    kept: list[Candidate] = []
    for found in sorted(candidates, key=lambda c: (c.bytes, c.kl, c.name)):
        if not kept or found.kl < kept[-1].kl or (found.bytes, found.kl) == (kept[-1].bytes, kept[-1].kl):
            kept.append(found)
    return kept


def dominated_by(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Name → names of those that dominate it, smallest first; empty for the Pareto set."""
    ordered = sorted(candidates, key=lambda c: (c.bytes, c.kl, c.name))
    return {each.name: [other.name for other in ordered if dominates(other, each)] for each in candidates}


def choose(candidates: Sequence[Candidate], accuracies: Mapping[str, Accuracy], settings: FrontierSettings) -> Choice:
    """The release is the smallest finalist that keeps enough; mobile the most accurate one that is small enough.

    Mobile needs no kept share, it is the best there is under its size (of equals the one with the lower KL). A
    candidate that was refused or never evaluated is never chosen. Raises ConfigError when the file that mobile is
    measured by is not among the candidates.
    """
    by_name = {each.name: each for each in candidates}
    verdicts = {name: verdict(by_name[name], each, settings) for name, each in accuracies.items()}
    enough = [by_name[name] for name, found in verdicts.items() if found == "kept"]
    usable = [each for each in candidates if each.name in accuracies and not each.refused]
    small = small_enough(usable, candidates, settings)
    release = min(enough, key=lambda c: (c.bytes, c.kl), default=None)
    mobile = max(small, key=lambda c: (accuracies[c.name].value, -c.kl), default=None)
    return Choice(
        release=release.name if release else None, mobile=mobile.name if mobile else None, verdicts=verdicts
    )  # fmt: skip


def small_enough(
    found: Sequence[Candidate], candidates: Sequence[Candidate], settings: FrontierSettings
) -> list[Candidate]:
    """Those of `found` that may be called mobile; ConfigError when the file they are measured by is no candidate."""
    sizes = {each.name: each.bytes for each in candidates}
    if settings.mobile_of not in sizes:
        raise ConfigError(f"compress.frontier.mobile_of names {settings.mobile_of!r}, which is no candidate: add it.")
    return [each for each in found if each.bytes <= settings.mobile_share * sizes[settings.mobile_of]]


def verdict(found: Candidate, accuracy: Accuracy, settings: FrontierSettings) -> Verdict:
    """Whether a finalist may be released, by the share of the parent's right answers that it keeps."""
    if found.refused:
        return "refused"
    if not accuracy.kept.value >= settings.keep:  # NaN, of a parent that passes nothing, is too few as well
        return "too few answers kept"
    return "kept" if accuracy.kept.low >= settings.keep_low else "not sure enough"


def goals(
    candidates: Sequence[Candidate], found: Mapping[str, Divergence], chosen: str | None, settings: FrontierSettings, *,
    seed: int,
) -> dict[str, Number]:  # fmt: skip
    """What was promised of the chosen file: stock types that dominate it (0), and those that it dominates (1 or more).

    `found` are the divergences by name. None for a choice that was not made: no figure is not a good figure.
    """
    if chosen is None:
        return {"stock_dominating": None, "stock_dominated": None, "stock_surely_dominated": None}
    ours = next(each for each in candidates if each.name == chosen)
    stock = [each for each in candidates if each.origin == "stock" and each.name != chosen]
    beaten = [each for each in stock if dominates(ours, each)]
    gaps = {
        each.name: difference(found[ours.name], found[each.name], seed=seed, resamples=settings.resamples)
        for each in beaten
    }
    return {
        "stock_dominating": sum(dominates(each, ours) for each in stock),
        "stock_dominated": len(beaten),
        "stock_surely_dominated": sum(surely_dominates(ours, each, gaps[each.name]) for each in beaten),
    }
