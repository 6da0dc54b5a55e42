"""From judged answers to a confidence that can be believed: the map is chosen on one part and judged on another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lib.compress.calibrate_error import Bin, Brier, brier, brier_difference, ece, reliability, squared_error
from lib.compress.calibrate_evidence import Evidence, Score, Trace, available, log_odds
from lib.compress.calibrate_maps import Map, Method, Temperature, fit
from lib.compress.calibrate_selective import Selective, accuracy_curve, at_coverage, selective
from lib.compress.calibrate_settings import CalibrateSettings
from lib.errors import DataError
from lib.evaluate.stats import Rate
from lib.result import Number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


class Confidence(msgspec.Struct, frozen=True):
    """A fitted map and the scores it looks at: what serving loads. `n` answers fitted it."""

    scores: tuple[Score, ...]
    map: Map
    n: int

    def __call__(self, traces: Sequence[Trace]) -> Floats:
        """The chance [n] that each answer is right; NaN for one that lacks a score."""
        return self.map(log_odds(traces, self.scores))


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a confidence: Brier score over the folds of the fitting part, and what the judging part says."""

    scores: tuple[Score, ...]
    method: Method
    folds_brier: float
    brier: Brier
    ece: Rate
    squared_error: Rate
    selective: Selective
    chosen: bool


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen confidence, every candidate's figures, and what a picture of the chosen one needs.

    `raw` are the figures of the score that temperature uses, as the model gives it. `against_temperature` is the Brier
    score of the chosen map minus that of the best temperature (by the folds) on the judging part.
    """

    confidence: Confidence
    n_fit: int
    n_judged: int
    pass_rate: float
    raw_ece: Rate
    raw_brier: float
    raw_bins: list[Bin]
    candidates: list[Candidate]
    against_temperature: Rate
    bins: list[Bin]
    accuracy_at: list[tuple[float, float, float]]
    curve: list[float]

    @property
    def chosen(self) -> Candidate:
        """The candidate that became the confidence."""
        return next(one for one in self.candidates if one.chosen)

    def metrics(self, max_ece: float) -> dict[str, Number]:
        """Flat numbers; `goal_met` is 1 when the error is at most `max_ece` and Brier is better than temperature's."""
        best, found = self.chosen, self.against_temperature
        numbers: dict[str, Number] = {"n_fit": self.n_fit, "n_judged": self.n_judged, "pass_rate": self.pass_rate}
        numbers |= _rate("ece", best.ece) | _rate("raw_ece", self.raw_ece)
        numbers |= {f"brier{'' if key == 'score' else '_' + key}": value for key, value in _parts(best.brier).items()}
        numbers |= {"raw_brier": self.raw_brier} | _rate("brier_against_temperature", found)
        numbers |= {"selective_area": best.selective.area, "selective_blind": best.selective.blind}
        numbers |= {"selective_best": best.selective.best, "auroc": best.selective.auroc}
        for coverage, accuracy, _ in self.accuracy_at:
            numbers[f"acc_at_coverage_{round(100 * coverage)}"] = accuracy
        return numbers | {"goal_met": int(best.ece.value <= max_ece and found.value < 0)}


def calibrate(
    found: Sequence[Evidence], settings: CalibrateSettings, seed: int, *, judged: Collection[str] | None = None
) -> Calibration:
    """Fit, choose and judge. Equal evidence, settings and seed give equal numbers.

    `judged` are the ids of the answers that judge; None: all but `fit_share` of them, drawn at random. Raises DataError
    for fewer answers than `min_rows`, and where all answers or none are right: nothing to learn there.
    """
    import numpy as np

    passed = np.array([one.passed for one in found], dtype=bool)
    if not enough(found, settings):
        raise DataError(
            f"{int(passed.sum())} right answers of {len(found)} cannot calibrate a confidence: {settings.min_rows} "
            "answers are needed, right and wrong ones."
        )
    order = np.random.default_rng(seed).permutation(len(found))
    if judged is None:
        fitting, judging = np.split(order, [round(settings.fit_share * len(found))])
    else:
        held = np.array([one.id in judged for one in found], dtype=bool)[order]
        fitting, judging = order[~held], order[held]
    table = _Table(found, passed, fitting, judging, settings, seed)
    ways = _ways(available(found))
    scored = {way: table.folds_brier(*way) for way in ways}
    best = min(ways, key=lambda way: scored[way])
    cool = min((way for way in ways if way[1] == "temperature"), key=lambda way: scored[way])
    return table.calibration(ways, scored, best, cool)


def enough(found: Sequence[Evidence], settings: CalibrateSettings) -> bool:
    """Whether there are as many answers as are needed, right and wrong ones."""
    return len(found) >= settings.min_rows and len({one.passed for one in found}) > 1


def save(confidence: Confidence, path: Path) -> None:
    """Write what serving loads, as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(confidence), indent=1) + b"\n")


def load(path: Path) -> Confidence:
    """Read it; DataError names a file that is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Confidence)
    except (msgspec.MsgspecError, OSError) as e:
        raise DataError(f"{path} is no calibrated confidence ({e}): run the step that calibrates again.") from e


Way = tuple[tuple[Score, ...], Method]


def _ways(scores: Sequence[Score]) -> list[Way]:
    """Each score with each map, and all scores together in Platt's."""
    methods: tuple[Method, ...] = ("temperature", "platt", "isotonic")
    alone: list[Way] = [((score,), method) for score in scores for method in methods]
    return alone + ([(tuple(scores), "platt")] if len(scores) > 1 else [])


class _Table:
    """The answers as numbers, and who may look at which."""

    def __init__(
        self, found: Sequence[Evidence], passed: Flags, fitting: NDArray[np.int64], judging: NDArray[np.int64],
        settings: CalibrateSettings, seed: int,
    ) -> None:  # fmt: skip
        self._traces, self._passed = [one.trace for one in found], passed
        self._fitting, self._judging, self._settings, self._seed = fitting, judging, settings, seed

    def _x(self, scores: Sequence[Score], rows: NDArray[np.int64]) -> Floats:
        return log_odds([self._traces[row] for row in rows], scores)

    def fitted(self, way: Way, rows: NDArray[np.int64]) -> Map:
        """The map of one way, fitted on `rows`."""
        return fit(way[1], self._x(way[0], rows), self._passed[rows])

    def folds_brier(self, scores: tuple[Score, ...], method: Method) -> float:
        """Brier score on the fitting part, each fold judged by a map that has not seen it."""
        import numpy as np

        folds = np.array_split(self._fitting, self._settings.folds)
        total = 0.0
        for held in folds:
            others = np.setdiff1d(self._fitting, held)
            chances = self.fitted((scores, method), others)(self._x(scores, held))
            total += float(((chances - self._passed[held]) ** 2).sum())
        return total / len(self._fitting)

    def judged(self, way: Way) -> Floats:
        """Chances [n] of the judging part by a map fitted on the whole fitting part."""
        return self.fitted(way, self._fitting)(self._x(way[0], self._judging))

    def _errors(self, chances: Floats) -> tuple[Brier, Rate, Rate]:
        told = self._settings
        passed, drawn = self._passed[self._judging], {"seed": self._seed, "resamples": told.resamples}
        return (
            brier(chances, passed, told.bins),
            ece(chances, passed, told.bins, **drawn),
            squared_error(chances, passed, told.bins, **drawn),
        )

    def candidate(self, way: Way, score: float, chosen: bool) -> Candidate:
        """One way's figures."""
        chances = self.judged(way)
        errors = dict(zip(("brier", "ece", "squared_error"), self._errors(chances), strict=True))
        worth = selective(chances, self._passed[self._judging])
        return Candidate(scores=way[0], method=way[1], folds_brier=score, selective=worth, chosen=chosen, **errors)

    def calibration(self, ways: list[Way], scored: dict[Way, float], best: Way, cool: Way) -> Calibration:
        """Everything together."""
        told, passed = self._settings, self._passed[self._judging]
        chances, raw = self.judged(best), self._raw(cool)
        raw_brier, raw_ece, _ = self._errors(raw)
        return Calibration(
            confidence=Confidence(best[0], self.fitted(best, self._fitting), len(self._fitting)),
            n_fit=len(self._fitting),
            n_judged=len(passed),
            pass_rate=float(passed.mean()),
            raw_ece=raw_ece,
            raw_brier=raw_brier.score,
            raw_bins=reliability(raw, passed, told.bins),
            candidates=[self.candidate(way, scored[way], way == best) for way in ways],
            against_temperature=brier_difference(
                chances, self.judged(cool), passed, seed=self._seed, resamples=told.resamples
            ),
            bins=reliability(chances, passed, told.bins),
            accuracy_at=[(share, *at_coverage(chances, passed, share)) for share in told.coverages],
            curve=[float(value) for value in accuracy_curve(chances, passed)],
        )

    def _raw(self, way: Way) -> Floats:
        return Temperature(1.0)(self._x(way[0], self._judging))


def _rate(name: str, rate: Rate) -> dict[str, Number]:
    return {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}


def _parts(found: Brier) -> dict[str, float]:
    return {name: getattr(found, name) for name in found.__struct_fields__}
