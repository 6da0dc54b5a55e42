"""The sections on compression, from what the libraries themselves write: tables, pictures, verdicts, absence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from page_parser import Page

from lib.compress.frontier import Accuracy, Candidate, Choice, choose, dominated_by
from lib.compress.frontier_plan import PLAN, judge
from lib.compress.frontier_variants import Frontier
from lib.compress.gguf_settings import Calibration as Text
from lib.compress.gguf_settings import FrontierSettings
from lib.compress.types import TensorType, TypesReport
from lib.compress.types_grid import Grid
from lib.evaluate.stats import Rate
from lib.report import frontier, frontier_plot, plot, release, tensor_types
from lib.report.frontier import Measured
from lib.report.source import Source
from lib.report.view import View
from tasks import report_compressed

SETTINGS = FrontierSettings(
    text=Text(rows=1, tokens=2), finalists=3, keep=0.97, keep_low=0.95, mobile_share=0.5, mobile_of="Q8_0", resamples=9
)
STEP = "phase2_compress:x"
NUMBERS = {"stock_dominating": 0, "stock_dominated": 2, "stock_surely_dominated": 1}


def source(**values: float | None) -> Source:
    return Source(STEP, values)


def sound(markup: object) -> str:
    """The markup's text, after a check that it holds together and each figure leads to a lock."""
    page = Page(str(markup))
    assert page.faults == [] and page.unanswered() == []
    return " ".join(page.text.split())


def plain(found: object) -> Any:
    """As it comes back from the file that a step writes."""
    return msgspec.json.decode(msgspec.json.encode(found))


def file(name: str, size: int, kl: float, origin: str = "stock", refused: str = "") -> Candidate:
    return Candidate(
        name=name, origin=origin, bytes=size, bits_per_weight=size / 1e7, kl=kl, low=kl * 0.9, high=kl * 1.1,
        refused=refused,
    )  # fmt: skip


FILES = [
    file("f16", 270_000_000, 0.0, "parent"), file("Q8_0", 171_400_000, 0.001),
    file("Q5_K_M", 110_000_000, 0.3, refused="40 tensors on the student's grid"), file("Q5_0", 104_000_000, 0.02),
    file("mix-1", 96_000_000, 0.015, "ours"), file("Q4_0", 84_000_000, 0.09),
]  # fmt: skip


def asked(name: str, kept: float, low: float) -> Accuracy:
    return Accuracy(name=name, value=0.27 * kept, kept=Rate(kept, low, kept + 0.02, 950))


def table(*accuracies: Accuracy, choice: Choice | None = None) -> dict[str, Any]:
    """The frontier's table, put together by the library's own functions."""
    found = {each.name: each for each in accuracies}
    return plain(
        Frontier(
            candidates=FILES, dominated_by=dominated_by(FILES), plan=judge(PLAN, FILES, 134_515_008),
            accuracies=list(accuracies), choice=choice or choose(FILES, found, SETTINGS),
        )
    )  # fmt: skip


FOUND = table(asked("Q4_0", 0.9, 0.8), asked("mix-1", 0.99, 0.96), asked("Q8_0", 1.0, 0.98))


# The release


def test_the_verdict_names_file_bytes_bits_divergence_kept_share_and_standing() -> None:
    text = sound(release.lead(FOUND, source(**NUMBERS)))
    assert "Released: mix-1 (ours), 96,000,000 bytes, 9.60 bits a weight, KL 0.015 (0.0135–0.0165) nats" in text
    assert "keeping 99.0 % (96.0–101.0, n = 950) of the parent's verified accuracy" in text
    assert "none of llama.cpp's own dominates it, and it dominates 2 (1 of them surely) of those" in text
    assert "Mobile, the best of the small ones: Q4_0 (llama.cpp's own type), 84,000,000 bytes" in text


def test_a_release_that_is_dominated_is_said_to_be() -> None:
    numbers = {"stock_dominating": 3, "stock_dominated": 0, "stock_surely_dominated": 0}
    text = release.sentence(FOUND, numbers)
    assert "3 of llama.cpp's own types dominate it, and it dominates 0 of those." in text


def test_one_file_may_be_both() -> None:
    text = release.sentence({**FOUND, "choice": {**FOUND["choice"], "mobile": "mix-1"}}, NUMBERS)
    assert text.endswith("of those. It is the mobile file as well.") and text.count("mix-1") == 1


def test_without_a_choice_nothing_is_claimed() -> None:
    found = table(asked("Q4_0", 0.9, 0.8), asked("Q8_0", 0.98, 0.9))
    text = release.sentence({**found, "choice": {**found["choice"], "mobile": None}}, dict.fromkeys(NUMBERS))
    assert "No file is released: Q4_0: too few answers kept; Q8_0: not sure enough." in text
    assert "No finalist is small enough" in text and "None" not in text


def test_a_parent_that_gets_nothing_right_has_no_share() -> None:
    blind = Accuracy(name="Q8_0", value=0.0, kept=Rate(float("nan"), 0.0, float("inf"), 20))
    found = table(blind, choice=Choice(release=None, mobile="Q8_0", verdicts={"Q8_0": "too few answers kept"}))
    assert "of a parent that gets nothing right" in release.sentence(found, dict.fromkeys(NUMBERS))
    assert "Q8_0 0.0 % – – 20 – too few answers kept" in sound(release.finalists(found, source()))


def test_the_tile_has_size_and_name_or_says_that_there_is_none() -> None:
    shown, note = release.tile(FOUND, source())
    assert sound(shown) == "96.0 MB" and note == "mix-1, 9.60 bits a weight"
    shown, note = release.tile({**FOUND, "choice": {**FOUND["choice"], "release": None}}, source())
    assert sound(shown) == "–" and note == "no finalist keeps enough"


def test_chosen_files_are_named_with_their_packs() -> None:
    placed = source(release_bytes=96_000_000, release_packed_bytes=90_000_000, mobile_bytes=0, mobile_packed_bytes=0)
    choice = {"release": "mix-1", "mobile": None}
    text = sound(release.files(placed, choice))
    assert "phase2/release/files/release.gguf mix-1 96,000,000 90,000,000" in text and "mobile.gguf" not in text
    assert release.files(None, choice) is None and release.files(placed, {"release": None, "mobile": None}) is None


def test_finalists_have_accuracy_kept_share_and_verdict() -> None:
    text = sound(release.finalists(FOUND, source(final_1_kept_gain=0.981, final_0_kept_gain=None)))
    assert "mix-1 26.7 % 99.0 % 96.0–101.0 950 98.1 % kept" in text
    assert "Q4_0 24.3 % 90.0 % 80.0–92.0 950 – too few" in text
    assert "No finalist was asked" in sound(release.finalists({**FOUND, "accuracies": []}, source()))


# The frontier


def test_candidates_stand_by_size_with_what_was_measured_and_why_one_is_refused() -> None:
    seen = Measured(
        divergence=source(top1=0.912, perplexity_ratio=1.0345),
        run=source(file_peak_rss_bytes=3e8, file_prefill_tok_per_s=812.4, file_decode_tok_per_s=61.27),
    )
    text = sound(frontier.candidates(FOUND, source(), {"mix-1": seen}))
    assert text.index("Q4_0 84,000,000") < text.index("mix-1 96,000,000") < text.index("f16 270,000,000")
    assert "96,000,000 9.60 0.015 0.0135 … 0.0165 91.2 % 1.0345 99.0 % 300 MB 812 61.3 none ✓ release" in text
    assert "Q5_K_M 110,000,000 11.00 0.3 0.27 … 0.33 – – – – – – Q4_0, mix-1 and 1 other ✕ refused" in text
    assert "Refused, whatever their figures: Q5_K_M: 40 tensors on the student's grid" in text
    assert "Q5_0 104,000,000 10.40 0.02 0.018 … 0.022 – – – – – – mix-1" in text and "none ✓ mobile" in text
    assert "the parent" in text


def test_the_picture_has_every_file_but_the_parent_and_joins_the_undominated() -> None:
    made = str(frontier_plot.picture(FOUND, source()))
    text = sound(made)
    assert all(f">{one.name}<" in made for one in FILES if one.origin != "parent") and ">f16<" not in made
    assert made.count('class="refused"') == 2 and made.count('class="ring"') == 3  # one of each in the legend
    assert "mix-1: 96.0 MB, 9.60 bits a weight, KL 0.015" in text
    assert "base on disk: 9.0 MB, impossible as stated, left of this picture" in text
    front = made.split('class="front" d="M')[1].split('"')[0]
    assert front.count("L") == 4  # three points, two steps down: Q4_0, mix-1, Q8_0


def test_a_refused_file_is_not_on_the_line_and_takes_nobody_off_it() -> None:
    best = [*FILES, file("Q4_1", 80_000_000, 0.0001, refused="on the grid")]
    found = {**FOUND, "candidates": plain(best), "dominated_by": dominated_by(best)}
    assert found["dominated_by"]["mix-1"] == ["Q4_1"]
    lines = [str(frontier_plot.picture(one, source())).split('class="front" d="M')[1] for one in (FOUND, found)]
    assert [line.split('"')[0].count("L") for line in lines] == [4, 4]


def test_labels_cover_no_other_where_there_is_room() -> None:
    axes = plot.Axes((0, 200), (0.001, 1), log=True, wide=980, high=400)
    near = [plain(file(f"type-{at}", 100_000_000 + at, 0.05)) for at in range(3)]
    made = [str(label) for label in frontier_plot._labels(axes, near)]
    assert len({label.split('x="')[1] for label in made}) == 3


def test_without_a_divergence_there_is_nothing_to_draw() -> None:
    assert "nothing to draw" in sound(frontier_plot.picture({**FOUND, "candidates": FOUND["candidates"][:1]}, source()))


def test_the_plans_files_stand_with_their_arithmetic_and_are_never_met() -> None:
    text = sound(frontier.plan(FOUND["plan"], source()))
    assert "base on disk 0.54 9,045,841 ∅ impossible as stated 8 × 540 MB / 8.03 billion weights" in text
    assert "make 2.34 GB" in text and "nothing measured here has as few bits" in text and "met" not in text.split()
    assert " possible " not in text


@pytest.mark.parametrize(("low", "high"), [(1e-5, 1.0), (0.0013, 0.0014), (0.2, 0.5), (3.0, 3.0)])
def test_logarithmic_ticks_enclose(low: float, high: float) -> None:
    found = plot.log_ticks(low, high)
    assert found[0] <= low and found[-1] >= high and len(found) >= 2 and found == sorted(set(found))


# Types


def typed(wanted: str, got: str, layer: int) -> TensorType:
    return TensorType(name=f"blk.{layer}.attn_q.weight", shape=(576, 576), wanted=wanted, got=got, bytes=228_096)


TYPES = TypesReport(
    kind="Q4_K_M", size_bytes=5,
    tensors=[typed("Q4_K", "Q5_0", 0), typed("Q4_K", "Q5_0", 1), typed("Q5_K", "Q5_1", 2),
             TensorType(name="blk.0.ffn_down.weight", shape=(576, 1536), wanted="Q6_K", got="Q6_K", bytes=725_760)],
)  # fmt: skip


def test_a_file_shows_its_fallbacks_and_what_each_role_got() -> None:
    numbers = source(**TYPES.metrics())
    text = sound(tensor_types.files({"Q4_K_M": (numbers, plain(TYPES))}, ["Q4_1", "Q5_1"]))
    assert "Q4_K_M 6.00 4 3 Q4_K to Q5_0, Q5_K to Q5_1 1" in text
    assert "attn_q Q5_0 2 2 Q4_K 663,552 456,192 5.50" in text and "ffn_down Q6_K 1 0 – 884,736 725,760 6.56" in text


def test_the_grid_is_named_with_what_it_rules_out() -> None:
    kept = source(on_grid_share=1.0, kept_delta_q4_1=0.0901, kept_delta_q8_0=None)
    grid = plain(Grid("Q4_1", 1.0, 82_944, ("Q4_1", "Q5_1")))
    text = sound(tensor_types.grid(grid, kept))
    assert "100.0 % of 82,944 blocks" in text and "Q4_1 and Q5_1 would round" in text and "Q4_1 0.090" in text
    assert "Q8_0 –" in text and "no type, so none is refused" in sound(tensor_types.grid(None, kept))


# The page


def test_sections_that_have_not_run_are_absent() -> None:
    empty = View({}, set())
    assert [section.body for section in report_compressed.sections(empty)] == [None] * 4
    assert report_compressed.tile(empty) == ("released file", "–", "not built yet")
