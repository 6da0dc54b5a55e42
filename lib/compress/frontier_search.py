"""Which files are worth an evaluation: the best small one, then a search for the smallest that keeps enough.

Verifying answers takes minutes a file and divergence seconds, so each finalist is picked from all that was found out
before it. Answers are lost about as the root of the KL divergence: half the L1 distance between two distributions over
tokens, the chance that sampling from them differs, is at most √(KL / 2) (Pinsker's inequality). Each verdict fits that
line once more; how far the line is right shows in the table, for the rule that chooses knows nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lib.compress.frontier import Accuracy, Candidate, pareto, small_enough, verdict
from lib.compress.gguf_settings import FrontierSettings
from lib.errors import ConfigError


def next_finalist(
    candidates: Sequence[Candidate], judged: Mapping[str, Accuracy], settings: FrontierSettings
) -> Candidate:
    """Whose answers to verify next, after `judged`: never a refused one, the parent, or one that was judged.

    First the closest to the parent of those small enough for mobile. Then of the Pareto set, between the largest that
    kept too little and the smallest that kept enough: the smallest expected to keep enough, or else the largest.
    Raises ConfigError when nobody is left.
    """
    usable = [each for each in candidates if not each.refused and each.origin != "parent"]
    left = [each for each in usable if each.name not in judged]
    if not left:
        raise ConfigError(f"Finalist {len(judged) + 1} is wanted, {len(usable)} candidates may be released: add types.")
    if not judged and (small := small_enough(left, candidates, settings)):
        return min(small, key=lambda c: (c.kl, c.bytes, c.name))
    front = [each for each in pareto(usable) if each.name not in judged]
    room = _between(front, [each for each in usable if each.name in judged], judged, settings)
    if not room:
        return min(left, key=lambda c: (c.kl, c.bytes, c.name))  # nothing left to find out about the release
    rate = _lost_per_root(usable, judged)
    hopeful = [each for each in room if 1 - rate * math.sqrt(each.kl) >= settings.keep]
    return hopeful[0] if hopeful else room[-1]


def _between(
    front: Sequence[Candidate], asked: Sequence[Candidate], judged: Mapping[str, Accuracy], settings: FrontierSettings
) -> list[Candidate]:
    """Of `front`, smallest first, those that can still change which is the smallest that keeps enough."""
    kept = [each.bytes for each in asked if verdict(each, judged[each.name], settings) == "kept"]
    failed = [each.bytes for each in asked if each.bytes < min(kept, default=math.inf)]
    return [each for each in front if max(failed, default=0) < each.bytes < min(kept, default=math.inf)]


def _lost_per_root(candidates: Sequence[Candidate], judged: Mapping[str, Accuracy]) -> float:
    """The share of right answers that one root of a nat costs: a line through the origin by least squares."""
    found = [(math.sqrt(each.kl), judged[each.name].kept.value) for each in candidates if each.name in judged]
    weight = sum(root * root for root, _ in found)
    lost = sum(root * (1 - kept if math.isfinite(kept) else 1) for root, kept in found)
    return max(lost / weight, 0.0) if weight else 0.0
