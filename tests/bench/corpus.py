"""Rows of about 300 words to time curation on, with faults planted whose truth is known without our own code.

Words follow Zipf's law, frequent English ones first, so that unrelated rows share as much as unrelated texts do. One
row in ten has typographic quotes and accents, one in ten code. Every row follows from the seed and its number.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from lib.data import jsonl
from lib.data.rows import Message, Row, identified
from lib.data.score import COMMON

WORDS, ASKED = 300, 40
PERIOD = 100
EVALUATED = 2000
LEAKS = ("prompt", "run", "near", "instance")
_SYLLABLES = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "ist", "ou", "en")]


class Truth(msgspec.Struct, kw_only=True):
    """What was planted, by row id: pairs with a true Jaccard of at least 0.8 and of at most 0.75, twins, leaks."""

    rows: int
    near: list[tuple[str, str]] = []
    below: list[tuple[str, str]] = []
    twins: list[tuple[str, str]] = []
    leaks: dict[str, list[str]] = {}


def write(folder: Path, rows: int, seed: int = 1) -> Truth:
    """`rows` rows to `folder`/rows.jsonl, what they must not leak from to `folder`/evaluated.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    evaluated = [_evaluated(number, seed) for number in range(2 * EVALUATED)]
    jsonl.write(folder / "evaluated.jsonl", evaluated)
    truth = Truth(rows=rows, leaks={kind: [] for kind in LEAKS})
    jsonl.write(folder / "rows.jsonl", (_row(number, seed, evaluated, truth) for number in range(rows)))
    return truth


def _row(number: int, seed: int, evaluated: list[Row], truth: Truth) -> Row:
    """Row `number`; the last three of a hundred are copies of earlier ones, and every 200th leaks an evaluation."""
    place = number % PERIOD
    if place == 99:
        return _copy(_plain(number - 25, seed), 0.81, 0.94, number, truth.near)
    if place == 98:
        return _copy(_plain(number - 18, seed), 0.60, 0.74, number, truth.below)
    if place == 97:
        base = _plain(number - 7, seed)
        twin = _natural(base.messages[0].content.upper(), base.answer.replace(". ", ".\n\n"))
        truth.twins.append((base.id, twin.id))
        return twin
    if place == 46 and number % 200 < PERIOD:
        return _leak(number // 200, seed, evaluated, truth)
    return _plain(number, seed)


def _plain(number: int, seed: int) -> Row:
    """A row of its own."""
    draw = np.random.default_rng((seed, number))
    question, answer = _text(draw, ASKED), _text(draw, WORDS - ASKED)
    if number % 10 == 3:
        answer = answer.replace(" the ", " “the” ").replace("e.", "é.").replace("'", "’")
    if number % 10 == 7:
        body = "\n".join(f"    {name} = {n} + len('{name}')" for n, name in enumerate(answer.split()[:40]))
        answer = f"{' '.join(answer.split()[:120])}\n```python\ndef f():\n{body}\n    return 1.5\n```"
    return _natural(question, answer)


def _natural(question: str, answer: str, source: str = "bench/notes") -> Row:
    messages = [Message("user", question), Message("assistant", answer)]
    return identified(Row(messages=messages, source=source, licence="CC0-1.0", domain="general"))


def _puzzle(number: int, wording: str) -> Row:
    messages = [Message("user", f"{wording} {number}"), Message("assistant", str(number + 1))]
    fixed = {"source": "bench/puzzle", "licence": "CC0-1.0", "domain": "reasoning"}
    return identified(Row(messages=messages, generated=True, instance=f"next {number}", **fixed))


def _evaluated(number: int, seed: int) -> Row:
    """Natural rows first, then as many puzzles."""
    if number >= EVALUATED:
        return _puzzle(number, "What comes after")
    draw = np.random.default_rng((seed, number, 7))
    return _natural(_text(draw, ASKED), _text(draw, 100), "bench/exam")


def _leak(number: int, seed: int, evaluated: list[Row], truth: Truth) -> Row:
    """A row that must go: it has an evaluation row's prompt, 13 words, nearly its prompt, or its instance."""
    kind, plain = LEAKS[number % 4], _plain(number + 10**9, seed)
    place = number // 4 % EVALUATED
    exam, answer = evaluated[place], plain.answer
    if kind == "prompt":
        row = _natural(exam.messages[0].content.upper().replace(" ", "\n"), answer)
    elif kind == "run":
        words, run = answer.split(), exam.answer.split()[20:33]
        row = _natural(plain.messages[0].content, " ".join([*words[:50], *run, *words[50:]]))
    elif kind == "near":
        row = _natural(_edited(exam.messages[0].content, 0.83, 0.94, random.Random(number)), answer)
    else:
        row = _puzzle(EVALUATED + place, "Say which number follows")
    truth.leaks[kind].append(row.id)
    return row


def _copy(base: Row, least: float, most: float, number: int, pairs: list[tuple[str, str]]) -> Row:
    """The row with words replaced until question and answer together have a Jaccard similarity in between."""
    question, answer = base.messages[0].content, base.answer
    whole = _edited(f"{question} \0 {answer}", least, most, random.Random(number))
    row = _natural(*whole.split(" \0 "))
    pairs.append((base.id, row.id))
    return row


def _edited(text: str, least: float, most: float, draw: random.Random) -> str:
    """Words replaced until the similarity lies between; separators stay as they are.

    Most of the words that it will take are replaced at once; in a short text that may be too many already, and one more
    word may step over what is aimed at: then the aim is widened.
    """
    aim, known = draw.uniform(least + 0.01, most - 0.01), shingles(text)
    most_of = int(0.07 * len(known) * (1 - aim) / (1 + aim))  # a word is in some ten shingles
    for at_once, wide in ((most_of, aim), (0, aim), (0, aim), (0, aim), *[(0, most)] * 20):
        if (found := _replaced(text, at_once, (least, wide), known, draw)) is not None:
            return found
    raise ValueError("no edit of this text has the similarity that is wanted")


def _replaced(text: str, at_once: int, wanted: tuple[float, float], known: set[str], draw: random.Random) -> str | None:
    """Words replaced in random order, the first ones unseen, until the similarity is as wanted; None if it never is."""
    words, vocabulary = text.split(" "), _vocabulary()[0]
    free = [place for place, word in enumerate(words) if "\0" not in word and "\n" not in word]
    draw.shuffle(free)
    for number, place in enumerate(free):
        before, words[place] = words[place], draw.choice(vocabulary)
        if number < at_once:
            continue
        similar = jaccard(known, shingles(" ".join(words)))
        if similar < wanted[0]:
            words[place] = before
        elif similar <= wanted[1]:
            return " ".join(words)
    return None


def shingles(text: str) -> set[str]:
    """Runs of five characters of the text in lower case with single spaces, spelled out."""
    plain = normal(text.replace("\0", " "))
    return {plain[start : start + 5] for start in range(len(plain) - 4)}


def normal(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.lower().split())


def jaccard(left: set[str], right: set[str]) -> float:
    """Intersection over union."""
    return len(left & right) / len(left | right)


@cache
def _vocabulary() -> tuple[list[str], np.ndarray]:
    """Words by rank, and the cumulated probabilities of Zipf's law."""
    draw = random.Random(7)
    rare = {"".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4))) for _ in range(24000)} - COMMON
    words = [*sorted(COMMON), *sorted(rare, key=lambda word: draw.random())]
    weights = 1 / (np.arange(len(words)) + 2.7)
    return words, np.cumsum(weights) / weights.sum()


def _text(draw: np.random.Generator, count: int) -> str:
    """Sentences of 8 to 20 words, a paragraph every sixth."""
    words, odds = _vocabulary()
    chosen = [words[place] for place in np.searchsorted(odds, draw.random(count)).tolist()]
    return "".join(_sentences(chosen, draw.integers(8, 21, size=count).tolist())).strip()


def _sentences(words: list[str], lengths: list[int]) -> Iterator[str]:
    start = 0
    for number, length in enumerate(lengths, start=1):
        if start >= len(words):
            return
        yield " ".join(words[start : start + length]).capitalize() + ("." if number % 6 else ".\n\n") + " "
        start += length
