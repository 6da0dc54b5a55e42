"""Rows of verified answers: only failures, only whole answers, pairs that stay together, an audit that fires."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from lib.data.rows import Message, Row
from lib.errors import DataError
from lib.evaluate.verify import Verdict
from lib.teach.mixture import apart, audit, divide, rehearse, rehearsed_rows
from lib.teach.pairs import REVERSE, Taught, rows_of, verified
from lib.teach.prompts import SYSTEM, Missed, questions
from lib.teach.settings import PairSettings
from lib.teach.talk import Answer, Failure, Usage
from lib.teach.terms import provenance
from tests.teach.kit import OFFER, missed, settings

PAIRS = PairSettings(reverse=True, min_reverse_chars=1, rehearsal=0.1, validation=0.2)
NOTE = provenance("t", OFFER)
SUMS = [missed(number) for number in range(40)]


def verify(rows: Sequence[Row], texts: Sequence[str]) -> list[Verdict]:
    """The reference is right, "?" cannot be judged, everything else is wrong."""
    outcomes = [
        "not_evaluated" if text == "?" else "pass" if text == row.answer else "fail"
        for row, text in zip(rows, texts, strict=True)
    ]
    return [Verdict(id=row.id, outcome=outcome) for row, outcome in zip(rows, outcomes, strict=True)]  # type: ignore[arg-type]


def answer(item: Missed, text: str | None = None, sample: int = 0, finish: str = "stop") -> Answer:
    """An answer to an item; right if no text is given."""
    name = item.row.id + (f"#{sample}" if sample else "")
    return Answer(id=name, text=item.row.answer if text is None else text, finish=finish, usage=Usage(), cost=0)  # type: ignore[arg-type]


def taught(items: Sequence[Missed] = SUMS) -> list[Taught]:
    """All items, taught."""
    return [Taught(missed=item, answer=item.row.answer) for item in items]


# verified


def test_only_what_the_verifier_accepts_is_taught() -> None:
    outcomes = [
        answer(SUMS[0]),
        answer(SUMS[1], "wrong"),
        answer(SUMS[2], "?"),
        Failure(id=SUMS[3].row.id, name="timeout"),
    ]
    found, counts = verified(SUMS[:4], outcomes, verify)
    assert [one.missed for one in found] == SUMS[:1]
    assert counts == Counter(passed=1, failed=1, not_evaluated=1, technical=1, items_taught=1, items_untaught=3)


@pytest.mark.parametrize("broken", [{"finish": "length"}, {"finish": "refusal"}, {"text": "  "}])
def test_a_technical_answer_is_never_judged(broken: dict[str, str]) -> None:
    def never(rows: Sequence[Row], texts: Sequence[str]) -> list[Verdict]:
        assert not rows
        return []

    found, counts = verified(SUMS[:1], [answer(SUMS[0], **broken)], never)  # type: ignore[arg-type]
    assert not found and counts["technical"] == 1


def test_the_first_right_sample_is_taken_whatever_the_order() -> None:
    outcomes = [answer(SUMS[0], sample=2), answer(SUMS[0], "wrong"), answer(SUMS[0], f" {SUMS[0].row.answer}\n", 1)]
    for arrived in (outcomes, outcomes[::-1]):
        (one,), _ = verified(SUMS[:1], arrived, verify)
        assert one.answer == SUMS[0].row.answer


@pytest.mark.parametrize(("right", "is_taught"), [(1, False), (2, False), (3, True)])
def test_few_possible_answers_need_a_majority(right: int, is_taught: bool) -> None:
    outcomes = [answer(SUMS[0], None if number < right else "wrong", number) for number in range(4)]
    found, _ = verified(SUMS[:1], outcomes, verify, needs_majority=lambda row: True)
    assert bool(found) is is_taught
    assert len(verified(SUMS[:1], outcomes, verify)[0]) == 1


@pytest.mark.parametrize("outcome", ["pass", "technical", "not_evaluated"])
def test_only_failures_are_taught(outcome: str) -> None:
    with pytest.raises(DataError, match="no fail verdict"):
        verified([*SUMS[:3], missed(99, outcome=outcome)], [], verify)


# pairs


def test_a_pair_and_what_travels_with_it() -> None:
    forward, reverse = rows_of(taught(SUMS[:1]), NOTE, PAIRS)
    item = SUMS[0].row
    assert forward.messages == item.messages and forward.verifier == item.verifier and forward.answer == "0"
    assert reverse.messages == [Message("user", f"{REVERSE}\n\n0"), Message("assistant", item.prompt[0].content)]
    assert reverse.verifier is None and forward.group == reverse.group == item.id
    for row in (forward, reverse):
        assert row.provenance.items() >= NOTE.items() and row.provenance["item"] == item.id
        assert row.provenance["origin"] == "toy" and row.licence == item.licence and row.id
    assert len({forward.id, reverse.id}) == 2


def test_a_reverse_row_quotes_what_went_before() -> None:
    prompt = [Message("system", "Be terse."), Message("user", "a"), Message("assistant", "b"), Message("user", "Why?")]
    item = msgspec.structs.replace(SUMS[0].row, messages=[*prompt, Message("assistant", "Because.")])
    _, reverse = rows_of([Taught(missed=Missed(row=item, said="", outcome="fail"), answer="Because.")], NOTE, PAIRS)
    assert reverse.answer == "Why?" and all(
        text in reverse.prompt[0].content for text in ("Be terse.", "a", "b", "Because.")
    )


def test_reverse_rows_can_be_left_out_and_short_answers_have_none() -> None:
    assert len(rows_of(taught(), NOTE, msgspec.structs.replace(PAIRS, reverse=False))) == 40
    longer = rows_of(taught(), NOTE, msgspec.structs.replace(PAIRS, min_reverse_chars=2))
    assert len(longer) == 40 + sum(len(item.row.answer) >= 2 for item in SUMS)


# mixture


def test_no_pair_and_no_group_straddles() -> None:
    items = [missed(number, group=f"g{number // 3}") for number in range(60)]
    rows = rows_of(taught(items), NOTE, PAIRS)
    train, validation = divide(rows, 0.2, 7)
    assert len(train) + len(validation) == 120 and 12 <= len(validation) <= 24
    assert not {row.group for row in train} & {row.group for row in validation}
    assert divide(rows[::-1], 0.2, 7)[1] == [row for row in rows[::-1] if row in validation]  # order changes nothing
    assert divide(rows, 0.2, 8)[1] != validation


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("count", [1, 9, 10, 40])
def test_rehearsal_makes_up_its_share(share: float, count: int) -> None:
    pool = [missed(number).row for number in range(100, 200)]
    settings_ = msgspec.structs.replace(PAIRS, rehearsal=share)
    made = rows_of(taught(SUMS[:count]), NOTE, settings_)
    rows = rehearse(made, [], pool, rehearsed_rows(len(made), share), seed=1)
    found = audit(rows, [], {item.row.id for item in SUMS})
    assert share <= found.rehearsal_share and (found.rehearsal - 1) / (len(rows) - 1) < share
    assert found.taught == 2 * count


def test_rehearsal_takes_nothing_that_is_taught_or_validated() -> None:
    pool = [item.row for item in SUMS]
    rows = rows_of(taught(SUMS[:20]), NOTE, PAIRS)
    free = apart(pool, rows, [item.row for item in SUMS[20:30]])
    assert free == pool[30:]
    mixed = rehearse(rows, free[:2], free, 5, seed=1)
    rehearsed = [row for row in mixed if row.provenance.get("direction") == "rehearsal"]
    assert len(rehearsed) == 5 and {row.id for row in free[:2]} < {row.id for row in rehearsed} <= {r.id for r in free}
    assert len(rehearse(rows, free, free, 1, seed=1)) == len(rows) + len(free)  # what comes first comes whole
    with pytest.raises(DataError, match="need 9 rehearsal rows, and the pool has 0"):
        rehearse(rows, [], [], 9, seed=1)


def test_the_audit_of_a_clean_set() -> None:
    rows = rows_of(taught(), NOTE, PAIRS)
    train, validation = divide(rows, 0.2, 7)
    train = rehearse(train, [], [missed(n).row for n in range(100, 200)], rehearsed_rows(len(train), 0.1), 7)
    found = audit(train, validation, {item.row.id for item in SUMS})
    dirty = {name: value for name, value in msgspec.structs.asdict(found).items() if value and "rehears" not in name}
    assert dirty == {"taught": 80} and found.rehearsal_share >= 0.1 and found.rehearsed_taught == 0


def test_every_count_of_the_audit_fires() -> None:
    rows = rows_of(taught(SUMS[:4]), NOTE, PAIRS)
    failed = {item.row.id for item in SUMS}
    plain = msgspec.structs.replace(rows[0], provenance={"item": SUMS[0].row.id})
    again = msgspec.structs.replace(rows[0], id="x", provenance={"direction": "rehearsal"})

    assert audit(rows, [], failed - {SUMS[0].row.id}).without_fail == 2
    assert audit([plain], [], failed).without_terms == 1
    assert audit(rows[:1], rows[1:2], failed).straddling == 1
    assert audit([*rows, rows[0]], [], failed).duplicate_ids == 1
    assert audit([*rows, again], [], failed).rehearsed_taught == 1
    assert audit(rows, [], failed).rehearsal_share == 0.0 == audit([], [], failed).rehearsal_share


# questions


def test_a_paid_teacher_sees_the_item_and_the_reference_only_if_allowed() -> None:
    for show in (False, True):
        chosen = settings(use="claude", samples=2, show_reference=show)
        first, second = questions([missed(123456)], chosen, "step")
        text = first.messages[1].content
        assert first.system == SYSTEM and "What is 123456" in text and "17" in text and "wrong" in text
        assert ("246912" in text) is show
        assert second.id == f"{first.id}#1" and (first.sample, second.sample) == (0, 1) and first.purpose == "step"
        assert first.max_tokens == chosen.max_tokens["reasoning"]


def test_the_student_never_sees_the_reference() -> None:
    (asked,) = questions([missed(123456)], settings(use="self", show_reference=True), "step")
    assert [turn.role for turn in asked.messages] == ["user", "assistant", "user"]
    assert "246912" not in "".join(turn.content for turn in asked.messages)


def test_a_conversation_is_shown_whole() -> None:
    prompt = [Message("system", "Be terse."), Message("user", "What is 1 + 1?")]
    item = msgspec.structs.replace(missed(1).row, messages=[*prompt, Message("assistant", "2")])
    (asked,) = questions([Missed(row=item, said="", outcome="fail")], settings(use="claude"), "step")
    assert "[system]\nBe terse." in asked.messages[1].content and "(nothing)" in asked.messages[1].content
    assert "judged" not in asked.messages[1].content
